// Tokens: who may do what. A new token's secret is shown once.
import { html, useState, useEffect } from '../lib/html.js';
import { useStore } from '../lib/store.js';
import { session } from '../lib/session.js';
import { get, post, remove, part } from '../lib/api.js';
import { formatTime } from '../lib/format.js';
import { Dialog, confirmAction } from '../ui/dialog.js';
import { notify, complain } from '../ui/toast.js';
import { Icon } from '../ui/icons.js';
import { Table } from '../ui/table.js';

const ROLES = {
	viewer: 'Sees everything but tokens and audit, and changes nothing.',
	operator: 'Also starts and stops VMs, types in their consoles and restarts the driver VM.',
	admin: 'Also defines VMs, uploads images, makes tokens and reads the audit.',
};

function Secret({ made, onClose }) {
	const copy = () => navigator.clipboard.writeText(made.token).then(() => notify('Copied.'),
		() => notify('The browser does not allow this page to copy. Mark the token and press Ctrl+C.', true));
	return html`<${Dialog} title=${`Token "${made.name}"`} onClose=${onClose}>
		<p>Copy it now: it is not shown again. Role: ${made.role}.</p>
		<p class="mono secret" tabindex="0">${made.token}</p>
		<div class="buttons end"><button type="button" onClick=${copy}><${Icon} name="copy"/><span>Copy</span></button>
			<button type="button" class="primary" onClick=${onClose}>Done</button></div></${Dialog}>`;
}

function NewToken({ onMade }) {
	const [name, setName] = useState('');
	const [role, setRole] = useState('viewer');
	const [error, setError] = useState('');
	const submit = async (event) => {
		event.preventDefault();
		try {
			const { body } = await post('/tokens', { name: name.trim(), role });
			setName('');
			setError('');
			onMade(body);
		} catch (problem) {
			setError(problem.message);
		}
	};
	return html`<form class="card" onSubmit=${submit} novalidate><h2>New token</h2>
		<div class="fields">
			<div class=${'field' + (error ? ' bad' : '')}><label class="label" for="token-name">Name</label>
				<input id="token-name" type="text" value=${name} maxlength="31" autocomplete="off" spellcheck="false"
					aria-invalid=${error ? 'true' : undefined} aria-describedby="token-name-error token-name-help"
					onInput=${(event) => setName(event.target.value)}/>
				<p class="error" id="token-name-error" role="alert">${error}</p>
				<p class="help" id="token-name-help">Whose it is or what for: it stands in the audit log.</p></div>
			<div class="field"><label class="label" for="token-role">Role</label>
				<select id="token-role" value=${role} aria-describedby="token-role-help"
					onChange=${(event) => setRole(event.target.value)}>
					${Object.keys(ROLES).map((key) => html`<option value=${key}
						selected=${key === role}>${key}</option>`)}</select>
				<p class="help" id="token-role-help">${ROLES[role]}</p></div>
		</div>
		<div class="buttons"><button type="submit" class="primary">Make the token</button></div></form>`;
}

async function withdraw(token, own, then) {
	const agreed = await confirmAction({ title: `Withdraw "${token.name}"?`, action: 'Withdraw', danger: true,
		text: own ? 'This is the token that you are logged in with: you will be logged out.' :
			'Whoever uses it is refused from now on.' });
	if (!agreed)
		return;
	try {
		await remove(`/tokens/${part(token.name)}`);
		notify(`Token ${token.name} is withdrawn.`);
	} catch (problem) {
		complain(problem);
	}
	then();
}

export function TokensPage() {
	const [tokens, setTokens] = useState(null);
	const [error, setError] = useState('');
	const [made, setMade] = useState(null);
	const { name: own } = useStore(session);
	const load = () => get('/tokens').then(({ body }) => setTokens(body.tokens), (problem) => setError(problem.message));
	useEffect(() => { load(); }, []);
	const columns = [
		{ label: 'Name', cell: (token) => token.name + (token.name === own ? ' (this one)' : '') },
		{ label: 'Role', cell: (token) => token.role },
		{ label: 'Made', kind: 'time', cell: (token) => formatTime(token.created) },
		{ label: 'Actions', kind: 'number', quiet: true, cell: (token) => html`<button type="button" class="small"
			onClick=${() => withdraw(token, token.name === own, load)}>
			Withdraw<span class="hidden-text"> ${token.name}</span></button>` },
	];
	return html`<h1>Tokens</h1>${error && html`<p class="notice bad" role="alert">${error}</p>`}
		<${NewToken} onMade=${(body) => { setMade(body); load(); }}/>
		${made && html`<${Secret} made=${made} onClose=${() => setMade(null)}/>`}
		<section class="card"><h2 class="hidden-text">List</h2>
			<${Table} columns=${columns} rows=${tokens || []} keyOf=${(token) => token.name}/></section>`;
}
