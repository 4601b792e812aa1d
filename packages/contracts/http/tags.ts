/** What calls are about, in the order of the document. */
export const tags = {
  server: 'Whether it works',
  session: 'Signing in, and who one is then',
  accounts: 'Who owns things; users act for them',
  users: 'People who sign in',
  'api tokens': 'Credentials for programs',
  audit: 'Who changed what, in a chain of hashes',
  events: 'What happens, as it happens',
} as const;

export type Tag = keyof typeof tags;
