/**
 * Which package may depend on which: docs/design/architecture.md as a table. A package's package.json may declare fewer,
 * never more, and its code may import only what it declares. A package that is not in here does not exist yet.
 */
export const arrows: Readonly<Record<string, readonly string[]>> = {
  base: [],
  contracts: ['base'],
  client: ['base', 'contracts'],
  storage: ['base'],
  engine: ['base', 'storage'],
  hypervisor: ['base'],
  machine: ['base', 'engine', 'hypervisor'],
  database: ['base'],
  domain: ['base', 'contracts', 'database'],
  api: ['base', 'contracts', 'database', 'domain'],
  work: ['base', 'contracts', 'database', 'domain'],
  testing: ['base', 'contracts', 'database', 'engine', 'hypervisor', 'storage'],
  server: ['api', 'base', 'contracts', 'database', 'domain', 'storage', 'work'],
  agent: ['base', 'client', 'contracts', 'engine', 'hypervisor', 'machine', 'storage'],
  cli: ['base', 'client', 'contracts', 'engine', 'hypervisor', 'machine', 'storage'],
  panel: ['client', 'contracts'],
  bench: ['base', 'database', 'engine', 'hypervisor', 'storage', 'testing', 'work'],
  e2e: ['base', 'client', 'engine', 'hypervisor', 'storage', 'testing'],
};

/** The drivers' folder of storage: composition roots choose from it, everybody else sees the port. */
export const driverFolder = './drivers/';

/** Measures hot loops that no package shows outside, so it may reach into the packages that it declares. */
export const mayReachInside: readonly string[] = ['bench'];

/** Code for tests that is no test: read by tests only, under the rules of tests. */
export const testSupport = /[-.]fixture\.ts$/;

/** Only programs know the process they run in. */
export const processUses: readonly RegExp[] = [
  /\bprocess\s*\.\s*(?:env|argv|exit|exitCode|cwd|chdir)\b/,
  /\bfrom\s+'(?:node:)?process'/,
];
