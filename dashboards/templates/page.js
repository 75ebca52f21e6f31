(function () {
  "use strict";
  const config = {
    displaylogo: false,
    displayModeBar: "hover",
    modeBarButtons: [["toImage", "resetScale2d"]],
    responsive: true,
    typesetMath: false,
  };
  const figures = Array.from(document.querySelectorAll(".figure"));
  function draw(element) {
    if (element.dataset.drawn) return;
    element.dataset.drawn = "yes";
    const spec = JSON.parse(document.getElementById(element.id + "-data").textContent);
    Plotly.newPlot(element, spec.data, spec.layout, config);
  }
  // A page may hold a hundred figures: each is drawn when it comes near the window.
  const watcher = new IntersectionObserver(
    (entries) => entries.filter((e) => e.isIntersecting).forEach((e) => draw(e.target)),
    { rootMargin: "800px" }
  );
  figures.forEach((element) => {
    element.style.minHeight = element.dataset.height + "px";
    watcher.observe(element);
  });
  window.addEventListener("beforeprint", () => figures.forEach(draw));
})();
