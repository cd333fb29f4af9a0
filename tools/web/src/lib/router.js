// Pages by the part of the address behind '#': "#/vms/web/console" is ['vms', 'web', 'console'].
import { createStore } from './store.js';

function current() {
	return location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map((piece) => {
		try {
			return decodeURIComponent(piece);
		} catch {
			return piece;
		}
	});
}

export const route = createStore(current());

export function go(...pieces) {
	location.hash = link(...pieces);
}

export function link(...pieces) {
	return '#/' + pieces.map(encodeURIComponent).join('/');
}

/* A form with changes asks before it is left: it sets the question, and clears it when it is saved or gone. */
let guard = null;
let settled = location.hash;

export function guardLeaving(question) {
	guard = question;
}

window.addEventListener('hashchange', () => {
	if (location.hash === settled)
		return;
	if (guard && !window.confirm(guard)) {
		history.replaceState(null, '', settled || '#/');
		return;
	}
	guard = null;
	settled = location.hash;
	route.set(current());
});

window.addEventListener('beforeunload', (event) => {
	if (guard)
		event.preventDefault();
});
