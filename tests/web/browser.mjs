// What the web console's tests are made of: the simulator, a browser, and a page that counts whatever the policy stops as an error.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { createRequire } from 'node:module';
import { once } from 'node:events';

const root = new URL('../../', import.meta.url);
const { chromium } = createRequire(new URL('cache/npm/', root))('playwright-core');

// Nothing here gives up earlier: the machine may be slow and busy, and emulate another one.
export const PATIENCE_MS = Number(process.env.HILUM_PATIENCE_MS || 120000);

async function freePort() {
	const server = createServer().listen(0, '127.0.0.1');
	await once(server, 'listening');
	const { port } = server.address();
	server.close();
	await once(server, 'close');
	return port;
}

// Resolves to { base, token, stop }: the real API, with VMs that are only played.
export async function startSimulator() {
	const port = await freePort();
	const program = new URL('build/hilum-sim', root).pathname;
	const process = spawn(program, ['--port', String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
	let text = '';
	const token = await new Promise((resolve, reject) => {
		process.stdout.on('data', (bytes) => {
			text += bytes;
			const found = /hilum_[A-Za-z0-9_-]{43}/.exec(text);
			if (found)
				resolve(found[0]);
		});
		process.on('exit', (code) => reject(new Error(`the simulator ended with status ${code}: ${text}`)));
	});
	return { base: `http://127.0.0.1:${port}`, token, stop: () => process.kill() };
}

export async function startBrowser() {
	return chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

/* The browser says of each answer of 400 and above that a resource failed to load: those are the tests' own doing. */
const EXPECTED = /^Failed to load resource: the server responded with a status of 4\d\d/;

// A page of its own context (nothing is shared with other pages). Its `complaints` are what the console or the policy said.
export async function openPage(browser, base, options = {}) {
	const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: 'reduce',
		ignoreHTTPSErrors: true, ...options });
	const page = await context.newPage();
	page.setDefaultTimeout(PATIENCE_MS);
	page.complaints = [];
	page.on('console', (message) => {
		if (['error', 'warning'].includes(message.type()) && !EXPECTED.test(message.text()))
			page.complaints.push(message.text());
	});
	page.on('pageerror', (error) => page.complaints.push(String(error)));
	await page.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) =>
		console.error(`policy: ${event.violatedDirective} stopped ${event.blockedURI}`)));
	await page.goto(base);
	return page;
}

export async function logIn(page, token) {
	await page.getByLabel('Token', { exact: true }).fill(token);
	await page.getByRole('button', { name: 'Log in' }).click();
	await page.getByRole('button', { name: 'Log out' }).waitFor(); /* the log-in form has a heading of its own */
}

// Asks the API as a program would: for what a test needs around what it looks at.
export async function ask(base, token, method, path, body) {
	const headers = { Authorization: `Bearer ${token}` };
	if (body !== undefined)
		headers['Content-Type'] = 'application/json';
	const response = await fetch(`${base}/api/v1${path}`, {
		method, headers,
		body: body === undefined ? undefined : JSON.stringify(body),
	});
	const text = await response.text();
	if (!response.ok)
		throw new Error(`${method} ${path}: ${response.status} ${text}`);
	return text ? JSON.parse(text) : null;
}

// Waits until `check` is true, asking it again and again.
export async function until(what, check) {
	const end = Date.now() + PATIENCE_MS;
	for (;;) {
		if (await check())
			return;
		if (Date.now() > end)
			throw new Error(`waited in vain: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 100));
	}
}
