const CONFIG = {responsive: true, displaylogo: false, showSendToCloud: false};

// A figure that fails says so in its place and does not keep the others from being drawn.
function draw(place) {
  const text = document.getElementById(place.id.replace("figure", "data")).textContent;
  Promise.resolve()
    .then(() => JSON.parse(text))
    .then(({data, layout, frames}) =>
      Plotly.newPlot(place, {data, layout, frames, config: CONFIG}))
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
