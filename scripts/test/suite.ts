/** What `./test` runs, and how a suite tells what came of it. */

export type Skip = { readonly title: string; readonly reason: string };

export type SuiteResult = {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly Skip[];
  /** What a reader needs to mend the failures; printed as it is, empty when nothing failed. */
  readonly failures: string;
};

export type SuiteContext = { readonly root: string; readonly signal: AbortSignal };

export type Suite = {
  readonly name: string;
  readonly about: string;
  /** `all`: only runs with --all, or when named. */
  readonly when: 'always' | 'all';
  /** The suite is stopped and fails after this; the sums of the suites are the budgets of ./test and ./test --all. */
  readonly limitMinutes: number;
  readonly run: (context: SuiteContext) => Promise<SuiteResult>;
};
