// Light or dark: as the computer is set, unless the operator chose one here. Kept on this computer.
import { createStore } from './store.js';

const KEY = 'hilum.theme';
const CHOICES = ['auto', 'light', 'dark'];

function stored() {
	try {
		const choice = localStorage.getItem(KEY);
		return CHOICES.includes(choice) ? choice : 'auto';
	} catch {
		return 'auto';
	}
}

const system = window.matchMedia('(prefers-color-scheme: dark)');

function state(choice) {
	return { choice, dark: choice === 'dark' || (choice === 'auto' && system.matches) };
}

export const theme = createStore(state(stored()));

export function applyTheme() {
	const { choice } = theme.get();
	if (choice === 'auto')
		delete document.documentElement.dataset.theme;
	else
		document.documentElement.dataset.theme = choice;
}

export function nextTheme() {
	const choice = CHOICES[(CHOICES.indexOf(theme.get().choice) + 1) % CHOICES.length];
	try {
		localStorage.setItem(KEY, choice);
	} catch { /* it lasts as long as the page does */ }
	theme.set(state(choice));
}

theme.subscribe(applyTheme);
system.addEventListener('change', () => theme.set(state(theme.get().choice)));

// A CSS variable's colour as the canvas of a plot needs it.
export function colour(variable) {
	const probe = document.createElement('i');
	probe.hidden = true;
	probe.style.color = `var(${variable})`;
	document.body.append(probe);
	const value = getComputedStyle(probe).color;
	probe.remove();
	return value;
}
