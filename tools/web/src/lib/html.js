// The view library in one place: htm's templates bound to Preact, and the hooks that the views use.
import { h, render, Fragment } from 'preact';
import { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useId } from 'preact/hooks';
import htm from 'htm';

export const html = htm.bind(h);
export { render, Fragment, useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useId };
