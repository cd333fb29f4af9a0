// Who is logged in: the token, kept in this tab or, if the operator wants, on this computer, and the role that the server gives it.
// The token appears in request headers only, never in an address.
import { createStore } from './store.js';

const KEY = 'hilum.token';
const ROLES = ['viewer', 'operator', 'admin'];

// token: null when nobody is logged in. notice: why, if it was not the operator's wish.
export const session = createStore({ token: stored(), name: '', role: '', notice: '' });

function stored() {
	try {
		return sessionStorage.getItem(KEY) || localStorage.getItem(KEY);
	} catch {
		return null; /* storage may be switched off: then each load of the page asks */
	}
}

function forget() {
	try {
		sessionStorage.removeItem(KEY);
		localStorage.removeItem(KEY);
	} catch { /* nothing was kept */ }
}

export function openSession({ token, name, role, keep }) {
	forget();
	try {
		(keep ? localStorage : sessionStorage).setItem(KEY, token);
	} catch { /* it lasts as long as the page does */ }
	session.set({ token, name, role, notice: '' });
}

export function closeSession(notice = '') {
	forget();
	session.set({ token: null, name: '', role: '', notice });
}

// Whether this role may do what needs at least `role`.
export function allowed(role, current = session.get().role) {
	return ROLES.indexOf(current) >= ROLES.indexOf(role);
}
