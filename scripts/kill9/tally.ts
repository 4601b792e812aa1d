/** What was killed, where it was then, and what was proved. */

export type CommandTally = {
  killed: number;
  /** Had ended before its moment came. */
  ended: number;
  /** Refused because of what ran beside it. */
  refused: number;
  /** By what the killed command had done to the repository. */
  readonly phases: Record<string, number>;
};

export type Tally = {
  kills: number;
  readonly commands: Record<string, CommandTally>;
  /** Commands that ran beside a killed one. */
  readonly besides: Record<string, number>;
  besidesKilled: number;
  verifications: number;
  pointsRestored: number;
  collections: number;
};

export function emptyTally(): Tally {
  return {
    kills: 0,
    commands: {},
    besides: {},
    besidesKilled: 0,
    verifications: 0,
    pointsRestored: 0,
    collections: 0,
  };
}

export function tallyOf(tally: Tally, name: string): CommandTally {
  return (tally.commands[name] ??= { killed: 0, ended: 0, refused: 0, phases: {} });
}

export function tallyLines(tally: Tally): readonly string[] {
  return Object.entries(tally.commands).flatMap(([name, { killed, ended, refused, phases }]) => [
    `${name}: ${killed} killed, ${ended} ended before, ${refused} refused`,
    ...Object.entries(phases)
      .sort(([, a], [, b]) => b - a)
      .map(([phase, count]) => `  ${String(count).padStart(4)}  ${phase}`),
  ]);
}
