/** One step of the schema, forward only. What was released is never changed; the next step mends it. */
export type Migration = {
  /** The position in the list, from 1. */
  readonly number: number;
  /** As in its file's name. */
  readonly title: string;
  /** Statements of PostgreSQL 15, run in one transaction. */
  readonly statements: string;
};
