const CONFIG = {responsive: true, displaylogo: false, showSendToCloud: false};

function parsed(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

const TEMPLATE = parsed("template");

// A figure that fails says so in its place and does not keep the others from being drawn.
function draw(place) {
  Promise.resolve()
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
