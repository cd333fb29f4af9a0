// A value that views watch: set() tells all who subscribed. The only state outside of components lives in such values.
import { useState, useLayoutEffect } from './html.js';

export function createStore(initial) {
	let value = initial;
	const watchers = new Set();
	return {
		get: () => value,
		set(next) {
			if (Object.is(next, value))
				return;
			value = next;
			for (const watcher of [...watchers])
				watcher(value);
		},
		update(change) {
			this.set({ ...value, ...change });
		},
		subscribe(watcher) {
			watchers.add(watcher);
			return () => watchers.delete(watcher);
		},
	};
}

export function useStore(store) {
	const [value, setValue] = useState(store.get());
	useLayoutEffect(() => {
		setValue(() => store.get());
		return store.subscribe((next) => setValue(() => next));
	}, [store]);
	return value;
}
