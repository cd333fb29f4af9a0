// The page for whoever has not logged in.
import { html, useState } from '../lib/html.js';
import { useStore } from '../lib/store.js';
import { session, openSession } from '../lib/session.js';
import { get } from '../lib/api.js';
import { Mark } from '../ui/icons.js';

export function Login() {
	const { notice } = useStore(session);
	const [token, setToken] = useState('');
	const [keep, setKeep] = useState(false);
	const [error, setError] = useState('');
	const [busy, setBusy] = useState(false);
	const submit = async (event) => {
		event.preventDefault();
		const typed = token.trim();
		if (!typed)
			return setError('Enter a token.');
		setBusy(true);
		setError('');
		try {
			const { body } = await get('/whoami', { token: typed });
			openSession({ token: typed, name: body.name, role: body.role, keep });
		} catch (problem) {
			setError(problem.message);
			setBusy(false);
		}
	};
	return html`<main class="login" id="content">
		<form onSubmit=${submit} novalidate>
			<h1><${Mark}/>Hilum</h1>
			${notice && html`<p class="notice" role="status">${notice}</p>`}
			<div class=${'field' + (error ? ' bad' : '')}>
				<label class="label" for="token">Token</label>
				<input id="token" type="password" class="mono" value=${token} autocomplete="off"
					spellcheck="false" autofocus
					aria-invalid=${error ? 'true' : undefined}
						aria-describedby=${error ? 'token-error token-help' : 'token-help'}
					onInput=${(event) => setToken(event.target.value)}/>
				<p class="error" id="token-error" role="alert">${error}</p>
				<p class="help" id="token-help">It begins with "hilum_". The first one is printed on the machine's own screen when it starts
					without any.</p>
			</div>
			<label class="field check">
			<input type="checkbox" checked=${keep} onChange=${(event) => setKeep(event.target.checked)}/>
				<span>Keep on this computer<span class="help">Otherwise it is forgotten with this tab.</span></span></label>
			<button type="submit" class="primary big" disabled=${busy}>${busy ? 'Logging in …' : 'Log in'}</button>
		</form></main>`;
}
