// Short notices of what was done or went wrong, read out by screen readers. Good ones go by themselves, bad ones stay until dismissed.
import { html } from '../lib/html.js';
import { createStore, useStore } from '../lib/store.js';
import { Icon } from './icons.js';

const toasts = createStore([]);
let next = 1;

function dismiss(id) {
	toasts.set(toasts.get().filter((toast) => toast.id !== id));
}

export function notify(text, bad = false) {
	const id = next++;
	toasts.set([...toasts.get().slice(-3), { id, text, bad }]);
	if (!bad)
		setTimeout(() => dismiss(id), 6000);
}

export const complain = (problem) => notify(problem.message, true);

function Toast({ toast }) {
	return html`<div class=${'toast' + (toast.bad ? ' bad' : '')} role=${toast.bad ? 'alert' : 'status'}>
		<${Icon} name=${toast.bad ? 'alert' : 'check'}/><span>${toast.text}</span>
		<button type="button" class="plain" aria-label="Dismiss" onClick=${() => dismiss(toast.id)}><${Icon} name="close"/></button>
		</div>`;
}

export function Toasts() {
	return html`<div class="toasts" aria-live="polite">
		${useStore(toasts).map((toast) => html`<${Toast} key=${toast.id} toast=${toast}/>`)}</div>`;
}
