// The event stream, one for the whole page: what happens shows at once, not at the next poll.
import { createStore } from './lib/store.js';
import { session } from './lib/session.js';
import { get, openSocket } from './lib/api.js';
import { refresh } from './poll.js';

const KEPT = 1024;

// items: oldest first; null until the first answer. live: the stream is open.
export const events = createStore({ items: null, live: false });

let socket = null;
let last = 0;
let wait = 1000;
let timer = null;

function add(items) {
	const fresh = items.filter((event) => event.id > last);
	if (!fresh.length)
		return false;
	last = fresh[fresh.length - 1].id;
	events.update({ items: [...(events.get().items || []), ...fresh].slice(-KEPT) });
	return true;
}

function received(text) {
	let event;
	try {
		event = JSON.parse(text);
	} catch {
		return;
	}
	if (event && typeof event.id === 'number' && add([event]) && !document.hidden)
		refresh({ withHost: !/^vm\./.test(event.kind) });
}

async function open() {
	clearTimeout(timer);
	const { token } = session.get();
	if (!token)
		return;
	try {
		const { body } = await get(`/events?since=${last}`);
		/* Hilum was started anew: its events count from one again. */
		if (body.last < last) {
			last = 0;
			events.update({ items: [] });
			return open();
		}
		if (!add(body.events) && !events.get().items)
			events.update({ items: [] });
	} catch {
		return retry();
	}
	if (session.get().token !== token)
		return;
	const mine = socket = openSocket(`/events?since=${last}`);
	mine.onopen = () => {
		wait = 1000;
		events.update({ live: true });
	};
	mine.onmessage = ({ data }) => received(data);
	mine.onclose = () => {
		if (socket !== mine)
			return;
		socket = null;
		events.update({ live: false });
		retry();
	};
}

function retry() {
	clearTimeout(timer);
	timer = setTimeout(open, wait);
	wait = Math.min(wait * 2, 30000);
}

function close() {
	clearTimeout(timer);
	const mine = socket;
	socket = null;
	mine?.close();
	last = 0;
	events.set({ items: null, live: false });
}

export function startEvents() {
	let token = session.get().token;
	session.subscribe((now) => {
		if (now.token === token)
			return;
		token = now.token;
		close();
		if (token)
			open();
	});
	open();
}
