// A certificate of the operator's own, or back to the self-signed one.
import { html, useState } from '../lib/html.js';
import { put, remove } from '../lib/api.js';
import { refresh } from '../poll.js';
import { Dialog } from '../ui/dialog.js';
import { notify } from '../ui/toast.js';

export function Certificate({ onClose }) {
	const [certificate, setCertificate] = useState('');
	const [key, setKey] = useState('');
	const [error, setError] = useState('');
	const act = async (send, text) => {
		try {
			await send();
			notify(text);
			refresh({ withHost: true });
			onClose();
		} catch (problem) {
			setError(problem.message);
		}
	};
	const install = (event) => {
		event.preventDefault();
		act(() => put('/host/certificate', { certificate, key }),
			'New connections use the certificate. Load this page again to see it.');
	};
	const back = () => act(() => remove('/host/certificate'), 'New connections use the self-signed certificate again.');
	return html`<${Dialog} title="Certificate" onClose=${onClose} wide><form onSubmit=${install}>
		<label class="field"><span class="label">Certificate (PEM, with its chain)</span>
			<textarea rows="5" class="mono" spellcheck="false" required value=${certificate}
				onInput=${(event) => setCertificate(event.target.value)}/></label>
		<label class="field"><span class="label">Key (PEM, ECDSA P-256, not encrypted)</span>
			<textarea rows="4" class="mono" spellcheck="false" required value=${key}
				onInput=${(event) => setKey(event.target.value)}/></label>
		${error && html`<p class="error" role="alert">${error}</p>`}
		<div class="buttons end"><button type="button" onClick=${back}>Use the self-signed one</button><span class="spacer"></span>
			<button type="button" onClick=${onClose}>Cancel</button><button type="submit" class="primary">Install</button></div>
	</form></${Dialog}>`;
}
