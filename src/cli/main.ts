#!/usr/bin/env node
/** The executable. */
import { main } from './app.js';
import { bundledKit } from './bundled-kit.js';
import { runGuarded } from './bus-guard.js';
import { processIo } from './io.js';

const argv = process.argv.slice(2);
const io = processIo();
process.exitCode = await (runGuarded(argv, io) ?? main(argv, io, bundledKit()));
