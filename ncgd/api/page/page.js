// Makes the page live: asks for it anew each second and changes what is different. It knows nothing but HTML, keeps
// nothing but what is on the screen, and asks seldom while nobody looks: title and icon of its tab stay true.

const SECOND = 1000, HIDDEN = 10 * SECOND, PATIENCE = 8 * SECOND, TYPING = 200;
const byId = (id) => document.getElementById(id);
let isPaused = false, timer = 0, turn = 0;

function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.dataset?.own !== undefined || old.tagName === 'INPUT') return; // the script's, or the reader's
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  let here = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    let same = here;
    while (same && (same.nodeName !== child.nodeName || same.id !== child.id)) same = same.nextSibling;
    if (!same) {
      old.insertBefore(document.adoptNode(child), here);
      continue;
    }
    here = without(here, same).nextSibling; // what stood between is gone
    morph(same, child);
  }
  without(here, null);
}

function without(first, end) {
  while (first !== end) {
    const next = first.nextSibling;
    first.remove();
    first = next;
  }
  return end;
}

async function ask() {
  const mine = ++turn, asked = location.href;
  try {
    const answer = await fetch(asked, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE) });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    if (mine !== turn || asked !== location.href) return; // the reader has gone on
    if (!page.querySelector('main')) throw new Error(`status ${answer.status}`);
    morph(document.querySelector('main'), page.querySelector('main'));
    document.title = page.title;
    morph(byId('icon'), page.getElementById('icon'));
    tell(...(isPaused ? ['paused', 'Paused'] : ['live', 'Live']));
  } catch {
    if (mine === turn && !document.body.classList.contains('lost')) tell('lost', `No answer since ${byId('now')?.textContent ?? 'the start'}`);
  }
}

function tell(state, text) {
  document.body.classList.toggle('lost', state === 'lost');
  if (state === 'lost') document.title = document.title.replace(/^[^·]*/, 'No answer ');
  const live = byId('live'), button = byId('pause');
  if (!live) return;
  button.hidden = false;
  button.textContent = isPaused ? 'Go on' : 'Pause';
  live.className = `live ${state}`;
  if (live.textContent !== text) live.textContent = text;
}

function rest() {
  clearTimeout(timer);
  if (!isPaused) timer = setTimeout(go, document.hidden ? HIDDEN : SECOND);
}

async function go() {
  clearTimeout(timer);
  await ask();
  rest();
}

function pause() {
  isPaused = !isPaused;
  if (!isPaused) return go();
  turn++; // an answer that is on its way comes too late
  tell('paused', 'Paused');
  rest();
}

function find(text) {
  const url = new URL('/', location);
  if (text.trim()) url.searchParams.set('q', text.trim());
  history.replaceState(null, '', url);
  go();
}

let typing = 0;
document.addEventListener('input', (event) => {
  if (event.target.id !== 'q') return;
  clearTimeout(typing);
  typing = setTimeout(() => find(event.target.value), TYPING);
});
document.addEventListener('submit', (event) => {
  event.preventDefault();
  find(byId('q').value);
});
document.addEventListener('click', (event) => {
  if (event.target.id === 'pause') return pause();
  const link = event.target.closest?.('main a[href^="/?"], main a[href^="/#"]');
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, '', link.getAttribute('href'));
  follow();
});
async function follow() {
  if (byId('q')) byId('q').value = new URL(location).searchParams.get('q') ?? '';
  await go();
  if (location.hash) byId(location.hash.slice(1))?.scrollIntoView();
}
addEventListener('popstate', follow);
addEventListener('visibilitychange', () => (document.hidden || isPaused ? rest() : go()));
addEventListener('keydown', (event) => {
  if (event.target.matches?.('input') || event.metaKey || event.ctrlKey || event.altKey) return;
  if (event.key === '/') {
    event.preventDefault();
    byId('q')?.focus();
  } else if (event.key === 'p' && byId('pause')) {
    pause();
  }
});

go();
