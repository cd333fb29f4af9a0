// Requests to /api/v1, and what their failures say. Every failure is a Problem with a sentence for the operator.
import { session, closeSession } from './session.js';
import { reportReached, reportUnreachable } from './connection.js';

const BASE = '/api/v1';

const SENTENCES = {
	400: 'Hilum did not understand the request.',
	401: 'Hilum does not know this token. Check that it is complete, or ask an administrator for another one.',
	403: 'Your token\'s role does not allow this. Ask an administrator for a token of a higher role.',
	404: 'It is not there any more.',
	409: 'The current state does not allow this.',
	412: 'Somebody else has changed it meanwhile. Load it again and repeat your change.',
	413: 'This is more than Hilum accepts.',
	422: 'The definition is not valid.',
	429: 'Too many requests.',
	503: 'Hilum is busy or not ready for this. Try again in a moment.',
	507: 'The host has not enough free memory for this.',
};

export class Problem extends Error {
	// status 0: there was no answer at all. field: the configuration's key that it concerns, or ''.
	constructor(status, message, field = '') {
		super(message);
		this.name = 'Problem';
		this.status = status;
		this.field = field;
	}
}

function problemOf(status, body, retryAfter) {
	const detail = body && typeof body.detail === 'string' ? body.detail : '';
	const general = SENTENCES[status] || (body && body.title) || `Hilum answered with status ${status}.`;
	let message = detail || general;
	if (status === 403)
		message = general;
	if (status === 429)
		message = `Too many requests: try again ${retryAfter ? `in ${retryAfter} s` : 'in a moment'}.`;
	message = message.charAt(0).toUpperCase() + message.slice(1);
	if (!/[.!?]$/.test(message))
		message += '.';
	return new Problem(status, message, body && typeof body.field === 'string' ? body.field : '');
}

function unreachable() {
	return new Problem(0, 'Hilum does not answer. Check that this computer reaches it; the page tries again by itself.');
}

function parse(text, type) {
	try {
		return /\bjson\b/.test(type || '') && text ? JSON.parse(text) : null;
	} catch {
		return null;
	}
}

// An answer that means that nobody is logged in any more ends the session, unless it is the log-in itself that asks.
function checkSession(status, asked) {
	if (status === 401 && asked === session.get().token)
		closeSession('Hilum does not accept your token any more. Log in with another one.');
}

// Resolves to { status, headers, body (parsed JSON or null), text }; rejects with a Problem.
export async function request(method, path, { body, headers = {}, token = session.get().token, raw = false, signal } = {}) {
	const init = { method, headers: { ...headers }, cache: 'no-store', credentials: 'omit', signal };
	if (token)
		init.headers.Authorization = `Bearer ${token}`;
	if (body !== undefined) {
		init.headers['Content-Type'] = 'application/json';
		init.body = JSON.stringify(body);
	}
	let response, text;
	try {
		response = await fetch(BASE + path, init);
		text = raw && response.ok ? await response.arrayBuffer() : await response.text();
	} catch (error) {
		if (error.name === 'AbortError')
			throw error;
		reportUnreachable();
		throw unreachable();
	}
	reportReached();
	const parsed = raw && response.ok ? null : parse(text, response.headers.get('Content-Type'));
	if (!response.ok) {
		checkSession(response.status, token);
		throw problemOf(response.status, parsed, response.headers.get('Retry-After'));
	}
	return { status: response.status, headers: response.headers, body: parsed, text };
}

export const get = (path, options) => request('GET', path, options);
export const post = (path, body, options) => request('POST', path, { ...options, body });
export const put = (path, body, options) => request('PUT', path, { ...options, body });
export const remove = (path, options) => request('DELETE', path, options);

// One part of a path: names may hold characters that mean something in an address.
export const part = encodeURIComponent;

// Sends a file and tells how far it is: fetch() cannot, so this is the older interface. Returns { done, abort }.
export function upload(path, file, onProgress) {
	const token = session.get().token;
	const xhr = new XMLHttpRequest();
	const done = new Promise((resolve, reject) => {
		xhr.open('PUT', BASE + path);
		xhr.setRequestHeader('Authorization', `Bearer ${token}`);
		xhr.setRequestHeader('Content-Type', 'application/octet-stream');
		xhr.upload.onprogress = (event) => onProgress(event.loaded, event.total);
		xhr.onerror = () => reject(new Problem(0, 'The connection broke off during the upload. Check it and send the file again.'));
		xhr.onabort = () => reject(new Problem(0, 'The upload was cancelled.'));
		xhr.onload = () => {
			const body = parse(xhr.responseText, xhr.getResponseHeader('Content-Type'));
			if (xhr.status >= 200 && xhr.status < 300)
				return resolve(body);
			checkSession(xhr.status, token);
			reject(problemOf(xhr.status, body, xhr.getResponseHeader('Retry-After')));
		};
		xhr.send(file);
	});
	return { done, abort: () => xhr.abort() };
}

// A WebSocket cannot carry an Authorization header from a browser: the token goes as a subprotocol, which is a header too.
export function openSocket(path) {
	const address = new URL(BASE + path, location.href);
	address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
	const socket = new WebSocket(address, ['hilum.v1', `bearer.${session.get().token}`]);
	socket.binaryType = 'arraybuffer';
	return socket;
}
