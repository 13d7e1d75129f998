/** A guest under QEMU whose shell is driven over its serial console: one command, its output, its exit code. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { WATCHDOG_S } from '../part.mjs';

const WATCHDOG_MS = WATCHDOG_S * 1000;

/** What the guest runs: reads commands from its console for ever. */
export const consoleScript = `
stty -echo
echo CONSOLE-READY
while read -r line; do eval "$line"; done
`;

export class GuestConsole {
  #child;
  #log;
  #text = '';
  #ended;
  #waiting = new Set();
  #count = 0;

  /**
   * Starts QEMU with the serial console on its standard input and output.
   * @param {string} name for messages and the log
   * @param {string[]} args of qemu-system-x86_64, the console and display excepted
   * @param {string} logFile
   */
  constructor(name, args, logFile) {
    this.name = name;
    this.#log = createWriteStream(logFile);
    const console = ['-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'];
    this.#child = spawn('qemu-system-x86_64', [...console, ...args], { stdio: 'pipe' });
    this.#ended = new Promise(resolve => {
      this.#child.on('exit', code => {
        this.#wake(new Error(`guest ${name} ended with code ${code}; see ${logFile}`));
        resolve(code);
      });
      this.#child.on('error', error => this.#wake(error));
    });
    this.#child.stdout.on('data', bytes => {
      this.#log.write(bytes);
      this.#text += bytes.toString('latin1').replaceAll('\r', '');
      this.#wake();
    });
    this.#child.stderr.on('data', bytes => this.#log.write(bytes));
    this.#child.stdin.on('error', () => undefined);
  }

  /** Resolves with what the console says up to and including `marker`. */
  async until(marker, timeoutMs = WATCHDOG_MS) {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = marker.exec(this.#text);
      if (found !== null) {
        const said = this.#text.slice(0, found.index);
        this.#text = this.#text.slice(found.index + found[0].length);
        return { said, found };
      }
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`guest ${this.name}: no ${marker} in ${timeoutMs} ms`);
      await this.#news(left);
    }
  }

  /** Runs one line of shell. Resolves with its output and exit code. */
  async run(command, timeoutMs = WATCHDOG_MS) {
    const id = ++this.#count;
    this.#child.stdin.write(`${command}; echo "@DONE ${id} $?"\n`);
    const { said, found } = await this.until(new RegExp(`@DONE ${id} (\\d+)\n`), timeoutMs);
    return { output: said.trim(), code: Number(found[1]) };
  }

  /** Ends the guest. */
  async end() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.#ended;
    await new Promise(resolve => this.#log.end(resolve));
  }

  #news(timeoutMs) {
    return new Promise((resolve, reject) => {
      const waiting = error => {
        clearTimeout(timer);
        this.#waiting.delete(waiting);
        if (error === undefined) resolve();
        else reject(error);
      };
      const timer = setTimeout(waiting, timeoutMs);
      this.#waiting.add(waiting);
    });
  }

  #wake(error) {
    for (const waiting of this.#waiting) waiting(error);
  }
}
