// Dialogs: the browser's own modal <dialog>, which holds the focus, makes the rest inert, closes by Escape and gives the focus back.
import { html, useLayoutEffect, useRef, useState, useId } from '../lib/html.js';
import { createStore, useStore } from '../lib/store.js';

const question = createStore(null);

export function Dialog({ title, onClose, children, wide }) {
	const ref = useRef(null);
	const id = useId();
	useLayoutEffect(() => {
		const before = document.activeElement;
		const dialog = ref.current;
		dialog.showModal();
		return () => {
			dialog.close(); /* while it is open, nothing outside of it takes the focus */
			if (before && before.isConnected)
				before.focus();
		};
	}, []);
	/* A press on the backdrop has the dialog itself as its target. */
	const outside = (event) => event.target === ref.current && onClose();
	return html`<dialog ref=${ref} class=${wide ? 'wide' : ''} aria-labelledby=${id} onCancel=${(event) => {
		event.preventDefault();
		onClose();
	}} onMouseDown=${outside}><div class="dialog-body"><h2 id=${id}>${title}</h2>${children}</div></dialog>`;
}

// Asks; resolves to true when the operator agreed. typeName: a name that has to be typed first, for what cannot be undone.
export function confirmAction({ title, text, action, danger = false, typeName = '' }) {
	return new Promise((resolve) => {
		question.set({ title, text, action, danger, typeName, answer(agreed) {
			question.set(null);
			resolve(agreed);
		} });
	});
}

function Question({ asked }) {
	const [typed, setTyped] = useState('');
	const ready = !asked.typeName || typed === asked.typeName;
	const submit = (event) => {
		event.preventDefault();
		if (ready)
			asked.answer(true);
	};
	return html`<${Dialog} title=${asked.title} onClose=${() => asked.answer(false)}>
		<form onSubmit=${submit}>
			<p>${asked.text}</p>
			${asked.typeName && html`<label class="field"><span class="label">Type <b>${asked.typeName}</b> to go on</span>
				<input type="text" value=${typed} autocomplete="off" autofocus onInput=${(event) => setTyped(event.target.value)}/></label>`}
			<div class="buttons end">
				<button type="button" autofocus=${!asked.typeName} onClick=${() => asked.answer(false)}>Cancel</button>
				<button type="submit" class=${asked.danger ? 'danger' : 'primary'} disabled=${!ready}>
				${asked.action}</button>
			</div>
		</form></${Dialog}>`;
}

export function Questions() {
	const asked = useStore(question);
	return asked && html`<${Question} asked=${asked} key=${asked.title}/>`;
}
