// What the page knows of the host and its VMs, asked for every two seconds while somebody looks at it.
import { createStore } from './lib/store.js';
import { session } from './lib/session.js';
import { connection } from './lib/connection.js';
import { get, part } from './lib/api.js';
import { recordList, recordDetail } from './samples.js';

const PERIOD_MS = 2000;
const HOST_EVERY = 5; /* rounds */

// null: not known yet.
export const host = createStore(null);
export const vms = createStore(null);
// The VM that is looked at: { name, vm, etag, missing }.
export const watched = createStore({ name: '', vm: null, etag: '', missing: false });

let timer = null;
let round = 0;
let running = false;
let again = false;

async function pollList() {
	const { body } = await get('/vms');
	recordList(body.vms, performance.now());
	vms.set(body.vms);
}

async function pollHost() {
	host.set((await get('/host')).body);
}

async function pollWatched() {
	const { name } = watched.get();
	if (!name)
		return;
	try {
		const { body, headers } = await get(`/vms/${part(name)}`);
		recordDetail(body, performance.now());
		if (watched.get().name === name)
			watched.set({ name, vm: body, etag: headers.get('ETag') || '', missing: false });
	} catch (problem) {
		if (problem.status !== 404)
			throw problem;
		if (watched.get().name === name)
			watched.set({ name, vm: null, etag: '', missing: true });
	}
}

async function pollOnce() {
	if (!session.get().token)
		return;
	if (running) {
		again = true; /* what is asked for now may be older than what has just been done */
		return;
	}
	running = true;
	again = false;
	try {
		await Promise.all([pollList(), pollWatched()]);
		if (round++ % HOST_EVERY === 0)
			await pollHost();
	} catch (problem) {
		if (problem.status === undefined)
			console.error(problem);
		round = 0; /* the host is asked about as soon as it answers */
	} finally {
		running = false;
	}
	if (again)
		await pollOnce();
}

function schedule() {
	clearTimeout(timer);
	if (document.hidden || !session.get().token)
		return;
	const { online, retryAt } = connection.get();
	const wait = online ? PERIOD_MS : Math.max(500, retryAt - Date.now());
	timer = setTimeout(async () => {
		await pollOnce();
		schedule();
	}, wait);
}

// Asks at once: after an action, an event, or when somebody presses "Try now".
export async function refresh({ withHost = false } = {}) {
	if (withHost)
		round = 0;
	clearTimeout(timer);
	await pollOnce();
	schedule();
}

export function watchVm(name) {
	if (watched.get().name === name)
		return;
	watched.set({ name, vm: null, etag: '', missing: false });
	if (name)
		refresh();
}

export function startPolling() {
	document.addEventListener('visibilitychange', () => document.hidden ? clearTimeout(timer) : refresh({ withHost: true }));
	session.subscribe(({ token }) => {
		if (token)
			return refresh({ withHost: true });
		clearTimeout(timer);
		host.set(null);
		vms.set(null);
		watched.set({ name: '', vm: null, etag: '', missing: false });
	});
	if (session.get().token)
		refresh({ withHost: true });
}
