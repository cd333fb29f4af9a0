// Whether Hilum answers. Requests report here; the banner and the polling look.
import { createStore } from './store.js';

// retryAt: milliseconds since 1970 of the next try, while it does not answer.
export const connection = createStore({ online: true, retryAt: 0 });

let failures = 0;

export function reportReached() {
	failures = 0;
	if (!connection.get().online)
		connection.set({ online: true, retryAt: 0 });
}

// One failed request says nothing (a connection was closed just as it was used); the second in a row does.
export function reportUnreachable() {
	failures++;
	if (failures < 2)
		return;
	const wait = Math.min(30, 2 ** Math.min(failures - 1, 5)) * 1000;
	connection.set({ online: false, retryAt: Date.now() + wait });
}
