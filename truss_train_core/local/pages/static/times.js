// Times as people tell them, and bars whose parts are as long as what they stand for. Both move on by themselves.

export function startClock() {
  tick();
  setInterval(tick, 1000);
}

export function tick() {
  const now = Date.now();
  for (const element of document.querySelectorAll("time[data-form]")) {
    const moment = new Date(element.dateTime);
    const seconds = Math.max(0, (now - moment) / 1000);
    const text = { ago: () => ago(seconds, moment), clock: () => clock(moment), since: () => duration(seconds) }[
      element.dataset.form
    ]();
    if (element.textContent !== text) {
      element.textContent = text;
      element.title = moment.toLocaleString();
    }
  }
  for (const bar of document.querySelectorAll(".phases")) drawBar(bar, now / 1000);
}

function drawBar(bar, now) {
  const parts = [...bar.children];
  const seconds = parts.map((part) => Math.max(0, (Number(part.dataset.ended) || now) - Number(part.dataset.began)));
  parts.forEach((part, place) => {
    part.style.flexGrow = seconds[place];
    part.title = `${part.className.replaceAll("-", " ")} ${duration(seconds[place])}`;
  });
}

export const clock = (moment) => moment.toLocaleTimeString([], { hour12: false });

function ago(seconds, moment) {
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds / 5) * 5} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return moment.toLocaleDateString();
}

export function duration(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}
