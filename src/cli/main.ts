#!/usr/bin/env node
/** The executable. */
import { main } from './app.js';
import { bundledKit } from './bundled-kit.js';
import { processIo } from './io.js';

process.exitCode = await main(process.argv.slice(2), processIo(), bundledKit());
