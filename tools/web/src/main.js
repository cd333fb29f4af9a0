// The web console: a page in the browser that speaks to Hilum's API and to nothing else.
import { html, render, useEffect, useRef } from './lib/html.js';
import { useStore } from './lib/store.js';
import { session, allowed } from './lib/session.js';
import { route } from './lib/router.js';
import { applyTheme } from './lib/theme.js';
import { get } from './lib/api.js';
import { startPolling } from './poll.js';
import { startEvents } from './events.js';
import { Questions } from './ui/dialog.js';
import { Toasts } from './ui/toast.js';
import { Shell } from './views/shell.js';
import { Login } from './views/login.js';
import { HostPage } from './views/host.js';
import { VmPage } from './views/vm.js';
import { CreateVm } from './views/vm_form.js';
import { ImagesPage } from './views/images.js';
import { EventsPage, AuditPage } from './views/events.js';
import { LogPage } from './views/log.js';
import { TokensPage } from './views/tokens.js';

const PAGES = {
	host: { title: 'Host', view: HostPage },
	create: { title: 'Create a VM', view: CreateVm, role: 'admin' },
	images: { title: 'Images', view: ImagesPage },
	events: { title: 'Events', view: EventsPage },
	log: { title: 'Log', view: LogPage },
	audit: { title: 'Audit', view: AuditPage, role: 'admin' },
	tokens: { title: 'Tokens', view: TokensPage, role: 'admin' },
};

function Page({ page, role }) {
	const [first = 'host', name, below] = page;
	if (first === 'vms' && name)
		return html`<${VmPage} name=${name} page=${below}/>`;
	const known = PAGES[first];
	if (!known)
		return html`<h1>No such page</h1><p class="notice">The address leads nowhere. Choose a page from the list.</p>`;
	if (!role)
		return html`<h1>${known.title}</h1><p class="empty" role="status">Loading …</p>`;
	if (!allowed(known.role || 'viewer', role))
		return html`<h1>${known.title}</h1>
			<p class="notice">This page needs the role ${known.role}. Your token has the role ${role}.</p>`;
	return html`<${known.view}/>`;
}

function titleOf([first = 'host', name]) {
	return first === 'vms' && name ? name : PAGES[first]?.title || 'Hilum';
}

function App() {
	const { token, role } = useStore(session);
	const page = useStore(route);
	const title = titleOf(page);
	const first = useRef(true);
	/* A new page: its name for screen readers and the history, and the focus where it begins. */
	useEffect(() => {
		document.title = token ? `${title} – Hilum` : 'Hilum';
		if (!first.current && token && !document.querySelector('dialog[open]'))
			document.getElementById('content')?.focus({ preventScroll: false });
		first.current = !token;
	}, [page.join('/'), !token]);
	/* A token from an earlier visit: which role it has is not kept, but asked. */
	useEffect(() => {
		if (!token || role)
			return;
		let timer;
		const ask = () => get('/whoami').then(({ body }) => session.update({ name: body.name, role: body.role }),
			() => { timer = setTimeout(ask, 3000); });
		ask();
		return () => clearTimeout(timer);
	}, [token, role]);
	return html`${token ? html`<${Shell}><${Page} page=${page} role=${role}/></${Shell}>` : html`<${Login}/>`}<${Questions}/>
		<${Toasts}/>`;
}

applyTheme();
render(html`<${App}/>`, document.getElementById('app'));
startPolling();
startEvents();
