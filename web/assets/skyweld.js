// What the console does beyond plain pages and forms: it follows what happens, counts times on, and copies. Everything is
// readable and usable without it.
"use strict";

// Times go on. The words are those of the server: see relative in words.go.
function coarse(s) {
	if (s < 60) return Math.max(0, Math.floor(s)) + " s";
	if (s < 3600) return Math.floor(s / 60) + " min";
	if (s < 172800) return Math.floor(s / 3600) + " h";
	return Math.floor(s / 86400) + " days";
}

function tick() {
	const now = Date.now();
	for (const t of document.querySelectorAll("time[data-ago]")) {
		const s = (now - Date.parse(t.dateTime)) / 1000;
		const text = s < 0 && s > -1 || s >= 0 && s < 5 ? "just now" : s < 0 ? "in " + coarse(-s) : coarse(s) + " ago";
		if (t.textContent !== text) t.textContent = text;
	}
}
setInterval(tick, 1000);

// Copying.
for (const b of document.querySelectorAll("button[data-copy]")) {
	b.hidden = false;
	b.addEventListener("click", async () => {
		const from = document.querySelector(b.dataset.copy);
		try {
			await navigator.clipboard.writeText(from.value ?? from.textContent);
			say("Copied");
			b.textContent = "Copied";
		} catch {
			getSelection().selectAllChildren(from);
			b.textContent = "Marked: press Ctrl-C";
		}
		setTimeout(() => { b.textContent = "Copy"; }, 2000);
	});
}

function say(text) { document.getElementById("announce").textContent = text; }

// A form is sent once. Coming back to its page gives the button back.
document.addEventListener("submit", (e) => {
	if (e.target.dataset.sent) return e.preventDefault();
	e.target.dataset.sent = "1";
});
addEventListener("pageshow", () => { for (const f of document.forms) delete f.dataset.sent; });

// What is wrong with a form is where to go on.
document.querySelector("[data-focus]")?.focus();

// A menu closes by Escape, and by a click beside it.
document.addEventListener("keydown", (e) => {
	if (e.key !== "Escape") return;
	for (const d of document.querySelectorAll("details.menu[open]")) {
		d.open = false;
		d.querySelector("summary").focus();
	}
});
document.addEventListener("click", (e) => {
	for (const d of document.querySelectorAll("details.menu[open]")) if (!d.contains(e.target)) d.open = false;
});

// morph makes an element what another one is, and touches nothing that is the same already: focus, open details, scrolled
// boxes and what somebody is typing stay.
function morph(to, from) {
	if (to.nodeType !== from.nodeType || to.nodeName !== from.nodeName || to.id !== from.id) return to.replaceWith(from.cloneNode(true));
	if (to.nodeType !== Node.ELEMENT_NODE) {
		if (to.data !== from.data) to.data = from.data;
		return;
	}
	if (to.nodeName === "FORM" && (to.contains(document.activeElement) || to.dataset.touched)) return;
	for (const a of [...to.attributes]) if (!from.hasAttribute(a.name) && !(a.name === "open" && to.nodeName === "DETAILS")) to.removeAttribute(a.name);
	for (const a of from.attributes) if (to.getAttribute(a.name) !== a.value) to.setAttribute(a.name, a.value);
	if (to.nodeName === "TIME" && to.textContent && to.dateTime === from.dateTime) return;
	const byId = new Map();
	for (const n of to.children) if (n.id) byId.set(n.id, n);
	let at = to.firstChild;
	for (const want of [...from.childNodes]) {
		let have = want.id && byId.get(want.id);
		if (have && have !== at) to.insertBefore(have, at);
		else if (!have && at && !(at.id && from.querySelector("#" + CSS.escape(at.id))) && !want.id) have = at;
		if (!have) {
			to.insertBefore(want.cloneNode(true), at);
			continue;
		}
		const next = have === at ? at.nextSibling : at;
		morph(have, want);
		at = next;
	}
	while (at) {
		const next = at.nextSibling;
		at.remove();
		at = next;
	}
}

// What grows at its top would push away what somebody reads: new lines wait until they are asked for.
function grow(part, now) {
	const known = new Set([...part.querySelectorAll("tr[id]")].map((r) => r.id));
	const fresh = [...now.querySelectorAll("tr[id]")].filter((r) => !known.has(r.id)).length;
	const button = document.getElementById(part.dataset.grow);
	button.hidden = !known.size || !fresh;
	if (button.hidden) return morph(part, now);
	button.textContent = fresh === 1 ? "Show 1 new line" : `Show ${fresh} new lines`;
	button.onclick = () => {
		morph(part, now);
		tick();
		part.tabIndex = -1;
		part.focus();
		button.hidden = true;
	};
}
document.addEventListener("input", (e) => { if (e.target.form) e.target.form.dataset.touched = "1"; });

// Following: when something happens, the page is asked for anew, and its parts are brought to what they are now.
const main = document.querySelector("main[data-live]");
let asked = false, again = false, last = 0;

async function refresh() {
	if (asked) { again = true; return; }
	asked = true;
	const wait = last + 1000 - Date.now();
	if (wait > 0) await new Promise((r) => setTimeout(r, wait));
	last = Date.now();
	again = false;
	try {
		const answer = await fetch(location.href, { headers: { "Skyweld-Live": "1" } });
		if (answer.status === 401) status("You are signed out: reload this page to sign in.");
		else if (answer.redirected) location.assign(answer.url);
		else if (answer.ok) {
			const page = new DOMParser().parseFromString(await answer.text(), "text/html");
			for (const part of document.querySelectorAll("main [data-part]")) {
				const now = page.getElementById(part.id);
				if (now && part.dataset.grow) grow(part, now);
				else if (now) morph(part, now);
			}
			tick();
		} else if (answer.status === 404) location.reload();
	} catch { status("The engine doesn't answer; this page shows what was known last."); }
	asked = false;
	if (again) refresh();
}

function status(text) {
	const s = document.getElementById("stream");
	if (s.textContent !== text) s.textContent = text;
	s.hidden = !text;
}

if (main) {
	const name = main.dataset.cluster;
	const stream = new EventSource("/api/v1/stream" + (name === "*" ? "" : "?cluster=" + encodeURIComponent(name)));
	let was = false;
	const happened = () => { if (!document.hidden) refresh(); };
	stream.onopen = () => { status(""); if (was) happened(); was = true; };
	stream.onerror = () => status("Not following for now: trying to reach the engine again.");
	stream.onmessage = happened;
	for (const kind of ["reset", "change", "run", "step", "event", "cluster", "deleted"]) stream.addEventListener(kind, happened);
	document.addEventListener("visibilitychange", happened);
	setInterval(happened, 30000); // what nobody tells of: the next run, nodes as Kubernetes has them
	addEventListener("pagehide", () => stream.close());
}

// A form that makes something shows it while it is filled in. The server makes it, as it does for the button.
const maker = document.querySelector("form[data-preview]");
if (maker) {
	let timer, asking = false, more = false;
	const made = async () => {
		if (asking) { more = true; return; }
		asking = true;
		more = false;
		try {
			const answer = await fetch(maker.action, { method: "POST", headers: { "Skyweld-Live": "1" }, body: new URLSearchParams(new FormData(maker)) });
			if (answer.status === 401) status("You are signed out: the form is kept when you send it, and shown again once you are signed in.");
			else if (answer.ok && !more) {
				status("");
				const page = new DOMParser().parseFromString(await answer.text(), "text/html");
				for (const part of maker.querySelectorAll("[data-made]")) {
					const now = page.getElementById(part.id);
					if (now) morph(part, now);
				}
				const text = page.getElementById("made");
				if (text) morph(document.getElementById("made"), text);
			}
		} catch { status("The engine doesn't answer; what is shown beside the form is older than it."); }
		asking = false;
		if (more) made();
	};
	maker.addEventListener("input", (e) => {
		if (e.target.name === "file") return;
		clearTimeout(timer);
		timer = setTimeout(made, e.target.type === "text" ? 400 : 0);
	});
}
