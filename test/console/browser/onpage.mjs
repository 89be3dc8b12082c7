// onPage runs in every page before its own script: it notes what only the page can know.
export function onPage() {
	const test = (window.skyweldTest = { violations: [], moved: [] });
	document.addEventListener("securitypolicyviolation", (e) => test.violations.push(`policy violated: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));

	const called = (e) => {
		if (!e || e.nodeType !== Node.ELEMENT_NODE) return String(e?.nodeName ?? "?");
		const text = (e.getAttribute("aria-label") || e.textContent || e.name || "").replaceAll(/\s+/g, " ").trim().slice(0, 40);
		return e.nodeName.toLowerCase() + (e.id ? "#" + e.id : "") + (e.classList.length ? "." + [...e.classList].join(".") : "") + (text ? ` "${text}"` : "");
	};

	// What moved without anybody having done anything.
	new PerformanceObserver((list) => {
		for (const e of list.getEntries()) if (!e.hadRecentInput) test.moved.push({ value: e.value, what: e.sources.map((s) => called(s.node)).join(", ") });
	}).observe({ type: "layout-shift", buffered: true });
	test.shifts = () => ({ sum: test.moved.reduce((n, m) => n + m.value, 0), what: test.moved.map((m) => `${m.value.toFixed(4)}: ${m.what}`) });

	test.wide = () => {
		const room = document.documentElement.clientWidth;
		if (document.documentElement.scrollWidth <= room) return "";
		const beyond = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > room + 0.5 && e.checkVisibility());
		return `${document.documentElement.scrollWidth} of ${room} px: ${beyond.slice(-3).map(called).join("; ")}`;
	};

	// A walk by Tab. What should be reached is everything that can be used; of radio buttons that belong together one.
	let wanted, reached, last;
	test.beginWalk = () => {
		wanted = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
			.filter((e) => e.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) && !e.disabled && e.tabIndex >= 0);
		reached = new Set();
		last = null;
	};
	test.stop = () => {
		const e = document.activeElement;
		if (!e || e === document.body || e === document.documentElement) {
			if (reached.has(document.body)) return { again: true };
			reached.add(document.body);
			return { nowhere: true };
		}
		if (e === last) return { nowhere: true }; // the next part of a date
		if (reached.has(e)) return { again: true };
		reached.add(last = e);
		const s = getComputedStyle(e), r = e.getBoundingClientRect();
		const x = Math.min(Math.max(r.left + r.width / 2, 0), innerWidth - 1), y = Math.min(Math.max(r.top + r.height / 2, 0), innerHeight - 1);
		const top = document.elementFromPoint(x, y);
		return {
			name: called(e),
			at: wanted.indexOf(e),
			outlined: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1 && !/, 0\)$/.test(s.outlineColor),
			inView: r.bottom > 0 && r.top < innerHeight && r.right > 0 && r.left < innerWidth && r.width > 0 && r.height > 0,
			covered: top && !e.contains(top) && !top.contains(e) ? called(top) : "",
		};
	};
	test.missed = () => {
		const groups = new Set([...reached].filter((e) => e.type === "radio").map((e) => e.name));
		return wanted.filter((e) => !reached.has(e) && !(e.type === "radio" && groups.has(e.name))).map(called);
	};
}
