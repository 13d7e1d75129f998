/** Layouts, enumerations and profiles of everything that crosses the guest/host line. */
export * from './command-shapes.js';
export * from './enumeration.js';
export * from './enums.js';
export * from './layout.js';
export * from './profile.js';
export * from './structs.js';
