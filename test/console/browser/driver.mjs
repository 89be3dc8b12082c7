// Lets a test in Go use Chromium. Commands come on standard input, one JSON object a line, and are answered in their order
// on standard output: {"value": …} or {"error": "…"}. Each names its tab by "tab". The tests decide what is right; this only
// does, and tells what it saw.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { onPage } from "./onpage.mjs";

const load = createRequire(process.env.BROWSER_PACKAGES + "/");
const { chromium } = load("playwright-core");
const axe = readFileSync(load.resolve("axe-core/axe.min.js"), "utf8");

const root = process.getuid?.() === 0;
const browser = await chromium.launch({ executablePath: process.env.BROWSER_CHROMIUM, args: root ? ["--no-sandbox"] : [] });
const tabs = new Map();

// open makes a tab with cookies and a cache of its own, and notes what goes on in it.
async function open({ tab, base, cookie, scripts = true, width = 1440, height = 900, scheme = "light" }) {
	await tabs.get(tab)?.context.close();
	const context = await browser.newContext({ baseURL: base, viewport: { width, height }, colorScheme: scheme, javaScriptEnabled: scripts, acceptDownloads: true });
	if (cookie) await context.addCookies([{ ...cookie, url: base }]);
	await context.addInitScript(onPage);
	const page = await context.newPage();
	const seen = { trouble: [], bytes: 0, clicks: 0 };
	const host = new URL(base).host;
	page.on("console", (m) => { if (["error", "warning"].includes(m.type())) seen.trouble.push(`console ${m.type()}: ${m.text()}`); });
	page.on("pageerror", (e) => seen.trouble.push(`script error: ${e.stack}`));
	context.on("request", (r) => {
		const u = new URL(r.url());
		if (u.protocol.startsWith("http") && u.host !== host) seen.trouble.push(`a request to another host: ${r.url()}`);
	});
	const wire = await context.newCDPSession(page);
	await wire.send("Network.enable");
	wire.on("Network.loadingFinished", (e) => { seen.bytes += e.encodedDataLength; });
	tabs.set(tab, { context, page, seen, wire });
}

// named is a name as it is told: one that ends in an asterisk begins so.
const quoted = (s) => s.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
const named = (name) => name.endsWith("*") ? new RegExp("^" + quoted(name.slice(0, -1))) : name;

// find is the control of a role that is called so, as a person would name it; without a role, the field with that label.
function find(page, { role, name, within }) {
	const where = within ? page.locator(within) : page;
	const called = { name: named(name), exact: !name.endsWith("*") };
	const all = role === "summary" ? where.locator("summary").filter({ hasText: name }) : role ? where.getByRole(role, called) : where.getByLabel(called.name, called);
	return all.filter({ visible: true }).first();
}

// choice is where an option of a list is, by its text or its value.
const choice = (list, option) => list.evaluate((e, option) => [...e.options].findIndex((o) => o.label.trim() === option || o.value === option), option);

// arrive does something that leads to another page, and waits for that.
async function arrive(page, act) {
	const there = page.waitForEvent("framenavigated", { predicate: (f) => f === page.mainFrame(), timeout: 60_000 });
	there.catch(() => {});
	await act();
	await there;
	await page.waitForLoadState("load");
}

// tabTo presses Tab until a control has the focus.
async function tabTo(page, control) {
	await control.waitFor({ timeout: 20_000 });
	for (let n = 0; n < 300; n++) {
		if (await control.evaluate((e) => e === document.activeElement || e.type === "radio" && e.form && document.activeElement?.name === e.name && document.activeElement.type === "radio")) return;
		await page.keyboard.press("Tab");
	}
	throw new Error(`Tab does not reach ${control}`);
}

const commands = {
	open,
	close: async ({ tab }) => {
		await tabs.get(tab).context.close();
		tabs.delete(tab);
	},
	// go opens an address as somebody who was never there, and says its status and how many bytes came for it.
	go: async ({ path }, { page, seen, wire }) => {
		await wire.send("Network.clearBrowserCache");
		seen.bytes = 0;
		const answer = await page.goto(path, { waitUntil: "load", timeout: 60_000 });
		await page.evaluate(() => document.fonts.ready.then(() => {}));
		return { status: answer.status(), bytes: seen.bytes };
	},
	// look changes how the page is looked at.
	look: async ({ width, height, scheme }, { page }) => {
		if (scheme) await page.emulateMedia({ colorScheme: scheme });
		if (width) await page.setViewportSize({ width, height });
	},
	shot: async ({ file, whole = true }, { page }) => { await page.screenshot({ path: file, fullPage: whole, animations: "disabled", timeout: 60_000 }); },
	// axe says what the judge of accessibility finds, about colours only where that is asked for.
	axe: async ({ colours = false }, { page }) => {
		if (!await page.evaluate(() => "axe" in window)) await page.evaluate(axe);
		return page.evaluate(async (colours) => {
			const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];
			const rules = window.axe.getRules(tags).filter(({ tags }) => !["experimental", "deprecated"].some((t) => tags.includes(t)) && (!colours || tags.includes("cat.color")));
			const found = await window.axe.run(document, { runOnly: rules.map((r) => r.ruleId), resultTypes: ["violations"] });
			return found.violations.flatMap((v) => v.nodes.map((n) => `${v.id} (${v.impact}): ${n.target.join(" ")}: ${n.failureSummary.replaceAll(/\s+/g, " ")}`));
		}, colours);
	},
	// trouble says what went wrong in the tab since it was asked last.
	trouble: async (_, { page, seen }) => {
		const list = [...seen.trouble, ...await page.evaluate(() => (window.skyweldTest?.violations ?? []).splice(0))];
		seen.trouble.length = 0;
		return list;
	},
	// wide says what reaches beyond the right edge, empty for nothing.
	wide: async (_, { page }) => page.evaluate(() => window.skyweldTest.wide()),
	shifts: async (_, { page }) => page.evaluate(() => window.skyweldTest.shifts()),
	// walk goes through the page by Tab, and says at which controls it came by.
	walk: async (_, { page }) => {
		const stops = [];
		await page.evaluate(() => window.skyweldTest.beginWalk());
		for (;;) {
			await page.keyboard.press("Tab");
			const stop = await page.evaluate(() => window.skyweldTest.stop());
			if (stop.again || stops.length > 1000) break;
			if (!stop.nowhere) stops.push(stop);
		}
		return { stops, missed: await page.evaluate(() => window.skyweldTest.missed()) };
	},
	// By mouse. Where follow is said another page comes. The list of a select is no part of the page, and so is chosen from
	// without the mouse.
	click: async ({ follow, ...what }, { page, seen }) => {
		seen.clicks++;
		const act = () => find(page, what).click({ timeout: 20_000 });
		await (follow ? arrive(page, act) : act());
	},
	clickInto: async ({ text, ...what }, { page, seen }) => {
		seen.clicks++;
		await find(page, what).click({ timeout: 20_000, clickCount: 3 });
		await page.keyboard.press("ControlOrMeta+a");
		await page.keyboard.insertText(text);
	},
	clickChoose: async ({ option, ...what }, { page, seen }) => {
		seen.clicks += 2;
		const list = find(page, what);
		await list.selectOption({ index: await choice(list, option) }, { timeout: 20_000 });
	},
	clicks: async (_, { seen }) => seen.clicks,
	// By keyboard.
	key: async ({ follow, key = "Enter", ...what }, { page }) => {
		await tabTo(page, find(page, what));
		const act = () => page.keyboard.press(key);
		await (follow ? arrive(page, act) : act());
	},
	keyInto: async ({ text, ...what }, { page }) => {
		await tabTo(page, find(page, what));
		await page.keyboard.press("ControlOrMeta+a");
		await page.keyboard.insertText(text);
	},
	keyChoose: async ({ option, ...what }, { page }) => {
		const list = find(page, what);
		await tabTo(page, list);
		const to = await choice(list, option), from = await list.evaluate((e) => e.selectedIndex);
		if (to < 0) throw new Error(`there is no choice ${option}`);
		for (let n = from; n !== to; n += Math.sign(to - n)) await page.keyboard.press(to > n ? "ArrowDown" : "ArrowUp");
		if (await list.evaluate((e) => e.selectedIndex) !== to) throw new Error(`the arrows don't lead to ${option}`);
	},
	keyTick: async (what, { page }) => {
		const box = find(page, what);
		await tabTo(page, box);
		if (what.role !== "radio") return page.keyboard.press("Space");
		for (let n = 0; n < 50 && !(await box.evaluate((e) => e === document.activeElement)); n++) await page.keyboard.press("ArrowDown");
		if (!(await box.isChecked())) await page.keyboard.press("Space");
	},
	has: async (what, { page }) => (await find(page, what).count()) > 0,
	// sees waits until a text stands in a part of the page.
	// Exactly means that nothing else stands there.
	sees: async ({ text, within = "body", seconds = 20, exactly = false }, { page }) => {
		const hasText = exactly ? new RegExp(`^\\s*${quoted(text)}\\s*$`) : text;
		await page.locator(within).filter({ hasText }).first().waitFor({ timeout: seconds * 1000 });
	},
	// scroll brings a part of the page into the middle.
	scroll: async ({ selector }, { page }) => page.locator(selector).first().evaluate((e) => e.scrollIntoView({ block: "center" })),
	// sharp keeps a picture of what is in view, twice as fine.
	sharp: async ({ file, width, height }, { page, wire }) => {
		await page.setViewportSize({ width, height });
		await wire.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 2, mobile: false });
		const { data } = await wire.send("Page.captureScreenshot", { format: "png" });
		await wire.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
		writeFileSync(file, Buffer.from(data, "base64"));
	},
	url: async (_, { page }) => page.url(),
	text: async ({ selector = "body" }, { page }) => page.locator(selector).first().innerText(),
	// fields are the ids of what can be filled in, options those of a list.
	fields: async (_, { page }) => page.locator("main").locator("input:not([type=hidden]), textarea, select").evaluateAll((all) => all.map((e) => e.id)),
	options: async (what, { page }) => find(page, what).evaluate((e) => [...e.options].map((o) => o.value)),
	count: async ({ selector }, { page }) => page.locator(selector).count(),
};

for await (const line of createInterface({ input: process.stdin })) {
	const { op, ...args } = JSON.parse(line);
	let answer;
	try {
		answer = { value: await commands[op](args, tabs.get(args.tab)) ?? null };
	} catch (e) {
		answer = { error: String(e?.message ?? e) };
	}
	process.stdout.write(JSON.stringify(answer) + "\n");
}
await browser.close();
