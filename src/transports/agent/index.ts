/** Verbs agents in processes of their own: the line to them, and memory that both sides see. */
export { AgentArenaFile } from './arena-file.js';
export { AgentLauncher, AgentLineError } from './process.js';
