// What a page does beside being read: it refreshes its parts, zooms, and says what is under the
// pointer. All that it shows comes from the server, by the address that the page has itself.
'use strict';
(() => {
  const root = document.documentElement;
  root.classList.add('js');
  const pause = document.getElementById('pause');
  let paused = false;

  // Parts: elements with data-part, replaced by what the server has now. What is open stays open,
  // what was scrolled stays so, and what has the focus keeps it. An answer that takes longer than
  // patience is none: a tunnel may hang.
  const patience = 15000;
  class Refusal extends Error {}
  async function refresh() {
    const answer = await fetch(location.href, {headers: {Accept: 'text/html'}, signal: AbortSignal.timeout(patience)});
    if (!answer.ok) throw new Refusal(`the page answers “${answer.status} ${answer.statusText}”.`);
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    for (const part of document.querySelectorAll('[data-part]')) {
      const next = fresh.getElementById(part.id);
      if (next) replace(part, next);
    }
  }

  function replace(part, next) {
    if (part.innerHTML === next.innerHTML) return;
    const open = [...part.querySelectorAll('details[open]')].map(d => d.id);
    const focused = part.contains(document.activeElement) ? place(part, document.activeElement) : null;
    const line = column; // The focus goes with the picture that is replaced.
    const scrolled = [...part.querySelectorAll(scrollers)].map(e => [e.scrollLeft, e.scrollTop]);
    part.replaceChildren(...next.childNodes);
    for (const id of open) document.getElementById(id)?.setAttribute('open', '');
    part.querySelectorAll(scrollers).forEach((e, n) => { if (n in scrolled) [e.scrollLeft, e.scrollTop] = scrolled[n]; });
    if (focused) find(part, focused)?.focus({preventScroll: true});
    column = line;
    bind();
  }

  const scrollers = '.scroll, pre';

  // place says which element it is, so that its like is found after a refresh.
  function place(part, element) {
    const key = element.id ? `#${CSS.escape(element.id)}` : null;
    return {key, text: element.textContent, tag: element.tagName};
  }

  function find(part, was) {
    if (was.key) return part.querySelector(was.key);
    return [...part.querySelectorAll(was.tag)].find(e => e.textContent === was.text);
  }

  // A page that can't be shown isn't asked for again.
  let data = null; // of the picture, once it is asked for
  let timer = 0;
  async function turn() {
    clearTimeout(timer);
    const busy = paused || document.hidden || dragging !== null || isSelecting();
    if (!busy) {
      try {
        data = null;
        await refresh();
      } catch (error) {
        complain(error);
      }
    }
    clearTimeout(timer);
    timer = setTimeout(turn, Number(root.dataset.every));
  }

  const isSelecting = () => String(getSelection()).length > 0;

  function complain(error) {
    const status = document.getElementById('status');
    if (status.querySelector('.cut-off')) return;
    const p = document.createElement('p');
    p.className = 'alert stale cut-off';
    p.role = 'alert';
    const since = document.querySelector('.status time')?.textContent ?? '';
    const why = error instanceof Refusal ? error.message : 'the page can’t be reached any more: is “lease page” still running?';
    p.textContent = `NOT LIVE; shown is what was at ${since}: ${why} It tries again.`;
    status.append(p);
  }

  // The picture: a line under the pointer, with what each had then; a drag zooms. With the keyboard
  // the arrows move the line, and enter zooms to around it.
  let dragging = null;
  let bound = null;
  let column = null; // of the keyboard's line
  let pointer = null; // where it is over the picture

  function bind() {
    const picture = document.getElementById('picture');
    if (!picture || picture === bound) return;
    bound = picture;
    picture.addEventListener('pointermove', e => { pointer = e; move(picture, e); });
    picture.addEventListener('pointerleave', () => { pointer = null; if (dragging === null) hide(); });
    picture.addEventListener('pointerdown', e => {
      if (e.button !== 0) return;
      dragging = share(picture, e);
      picture.setPointerCapture(e.pointerId);
      e.preventDefault();
      picture.focus();
    });
    picture.addEventListener('pointerup', e => {
      const from = dragging;
      dragging = null;
      const to = share(picture, e);
      if (from !== null && Math.abs(to - from) > 0.01) zoom(picture, Math.min(from, to), Math.max(from, to));
    });
    picture.addEventListener('pointercancel', () => { dragging = null; pointer = null; hide(); }); // A touch scrolls.
    picture.addEventListener('keydown', e => key(picture, e));
    picture.addEventListener('blur', () => { column = null; hide(); });
    if (pointer) move(picture, pointer);
    else if (column !== null && document.activeElement === picture) stand(picture);
    else hide();
  }

  function share(picture, e) {
    const box = picture.getBoundingClientRect();
    const view = picture.viewBox.baseVal;
    const scale = Math.min(box.width / view.width, box.height / view.height);
    const x = (e.clientX - box.left - (box.width - view.width * scale) / 2) / scale;
    return Math.min(1, Math.max(0, (x - Number(picture.dataset.left)) / Number(picture.dataset.width)));
  }

  function zoom(picture, a, b) {
    const from = Number(picture.dataset.from), length = Number(picture.dataset.to) - from;
    const least = 10000;
    const middle = from + length * (a + b) / 2;
    const half = Math.max(least, length * (b - a)) / 2;
    const address = new URL(location.href);
    address.searchParams.delete('last');
    address.searchParams.set('from', Math.round(middle - half));
    address.searchParams.set('to', Math.round(middle + half));
    location.href = address;
  }

  async function move(picture, e) {
    const at = share(picture, e);
    if (dragging !== null) {
      show(picture, Math.min(at, dragging), Math.max(at, dragging));
      return;
    }
    show(picture, at, at);
    const figures = await load();
    if (figures && picture.isConnected) tell(figures, at, e.pageX, e.pageY);
  }

  async function key(picture, e) {
    const figures = await load();
    if (!figures) return;
    const last = figures.times.length - 1;
    const steps = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -last, End: last};
    if (e.key === 'Escape') { column = null; hide(); return; }
    if (e.key === 'Enter' && column !== null) { zoom(picture, column / last - 0.15, column / last + 0.15); return; }
    if (!(e.key in steps)) return;
    e.preventDefault();
    column = Math.min(last, Math.max(0, (column ?? last) + steps[e.key]));
    await stand(picture);
  }

  // stand shows the keyboard's line, and what each had there.
  async function stand(picture) {
    const figures = await load();
    if (!figures || column === null || !picture.isConnected) return;
    const at = column / (figures.times.length - 1);
    const box = picture.getBoundingClientRect();
    show(picture, at, at);
    tell(figures, at, box.left + scrollX + box.width * at * 0.8, box.top + scrollY + 40);
  }

  async function load() {
    if (!data) {
      data = fetch('/api/fleet' + location.search, {signal: AbortSignal.timeout(patience)}).then(answer => answer.ok ? answer.json() : null).catch(() => null);
    }
    return data;
  }

  const SVG = 'http://www.w3.org/2000/svg';
  function show(picture, a, b) {
    const set = picture.dataset, left = Number(set.left), width = Number(set.width);
    const shape = document.createElementNS(SVG, a === b ? 'line' : 'rect');
    const x = left + width * a;
    const values = a === b
      ? {x1: x, x2: x, y1: set.top, y2: set.bottom}
      : {x, y: set.top, width: width * (b - a), height: set.bottom - set.top};
    for (const name in values) shape.setAttribute(name, values[name]);
    picture.querySelector('#cursor').replaceChildren(shape);
  }

  // tell shows a box with what each had. Names are text, never markup.
  function tell(figures, at, x, y) {
    const n = Math.round(at * (figures.times.length - 1));
    const tip = document.querySelector('.tip') ?? document.body.appendChild(document.createElement('div'));
    tip.className = 'tip';
    tip.setAttribute('role', 'status');
    const title = document.createElement('strong');
    title.textContent = `${figures.clocks[n]}, ${figures.by}`;
    const table = document.createElement('table');
    const time = figures.times[n];
    const isGap = figures.gaps.some(g => g.from < time && time < g.to); // ISO times of one zone sort as texts
    if (isGap) row(table, 'not looked', '');
    const had = isGap ? [] : figures.holders.filter(h => h.values[n] > 0).sort((a, b) => b.values[n] - a.values[n]);
    const most = 15;
    for (const h of had.slice(0, most)) row(table, h.holder === '' ? 'nobody' : h.holder, h.values[n]);
    if (had.length > most) row(table, `and ${had.length - most} more`, '');
    tip.replaceChildren(title, table);
    tip.style.left = Math.min(x + 16, scrollX + innerWidth - tip.offsetWidth - 8) + 'px';
    tip.style.top = y + 16 + 'px';
  }

  function row(table, name, value) {
    const cells = table.insertRow();
    const text = document.createElement('bdi');
    text.textContent = name.length > 40 ? name.slice(0, 39) + '…' : name;
    cells.insertCell().append(text);
    cells.insertCell().textContent = typeof value === 'number' ? Math.round(value * 100) / 100 : value;
  }

  function hide() {
    document.querySelector('.tip')?.remove();
    document.querySelector('#cursor')?.replaceChildren();
  }

  bind();
  if (!root.dataset.every) return; // It says why something can't be shown: that stays.
  pause.hidden = false;
  pause.addEventListener('click', () => {
    paused = !paused;
    document.body.classList.toggle('paused', paused);
    pause.textContent = paused ? 'Paused: go on' : 'Pause';
    if (!paused) turn();
  });
  document.addEventListener('visibilitychange', () => { if (!document.hidden) turn(); });
  timer = setTimeout(turn, Number(root.dataset.every));
})();
