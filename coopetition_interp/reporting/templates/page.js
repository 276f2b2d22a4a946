const CONFIG = {responsive: true, displaylogo: false, showSendToCloud: false};

function parsed(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

const TEMPLATE = parsed("template");

// plotly.js lies in the page as the base64 of its gzip, 2 MB where it would be 4.8.
async function loadPlotly() {
  const zipped = Uint8Array.from(atob(document.getElementById("plotlyjs").textContent), (letter) =>
    letter.charCodeAt(0));
  const unzipped = new Blob([zipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unzipped).text();
  document.head.append(script);
}

const plotly = loadPlotly();

// A figure that fails says so in its place and does not keep the others from being drawn.
function draw(place) {
  plotly
    .then(() => parsed(place.dataset.json))
    .then(({data, layout, frames}) =>
      Plotly.newPlot(place, {data, layout: {template: TEMPLATE, ...layout}, frames, config: CONFIG}))
    .catch((error) => {
      place.classList.add("failed");
      place.textContent = `This figure could not be drawn: ${error}`;
      console.error(place.id, String(error));
    });
}

const places = document.querySelectorAll(".figure");
const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      observer.unobserve(entry.target);
      draw(entry.target);
    }
  }
}, {rootMargin: "800px"});
places.forEach((place) => observer.observe(place));
