#!/usr/bin/env node
// The launcher: lets node read TypeScript, then hands over to the program.
import { register } from 'tsx/esm/api';

register();
await import('./millrace.ts');
