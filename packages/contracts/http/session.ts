/** Signing in, and who one is then. */
import { z } from 'zod';
import { account } from './account.ts';
import { endpoint } from './endpoint.ts';
import { listQuery, pageOf } from './list.ts';
import { scope } from './scope.ts';
import { email, newPassword, user } from './user.ts';
import { idOf, time } from './values.ts';

const tag = 'session';
const totpCode = z.string().regex(/^[0-9]{6}$/, 'Six digits.');
/** Anything that may be a password: what is too long is refused before it costs work. */
const password = z.string().min(1).max(256);

/** Who acts: the answer of signing in, and of asking later. */
export const identity = z
  .object({
    user,
    account,
    by: z.enum(['session', 'token']),
    scopes: z
      .array(scope)
      .nullable()
      .describe('Of the API token; null for a session, which may do all that the role may'),
    expires_at: time.nullable(),
  })
  .meta({ id: 'Identity' });
export type Identity = z.infer<typeof identity>;

export const logIn = endpoint({
  id: 'log_in',
  method: 'POST',
  path: '/session',
  tag,
  summary: 'Sign in',
  description: 'Sets the session cookie. Failed attempts are limited for each address and each client.',
  access: 'public',
  body: z
    .strictObject({
      email,
      password,
      totp_code: totpCode.optional(),
      account_id: idOf('acc').optional().describe('Which account, for those who act for several'),
    })
    .meta({ id: 'LogIn' }),
  status: 201,
  answer: identity,
  problems: ['credentials_wrong', 'totp_required', 'totp_wrong', 'login_rate_limited', 'account_not_found'],
});

export const whoAmI = endpoint({
  id: 'who_am_i',
  method: 'GET',
  path: '/session',
  tag,
  summary: 'Who is signed in',
  access: 'signed_in',
  status: 200,
  answer: identity,
  problems: [],
});

export const logOut = endpoint({
  id: 'log_out',
  method: 'DELETE',
  path: '/session',
  tag,
  summary: 'Sign out',
  access: 'session',
  status: 204,
  problems: [],
});

export const changePassword = endpoint({
  id: 'change_password',
  method: 'POST',
  path: '/session/actions/change-password',
  tag,
  summary: 'Change the own password',
  description: 'Ends the other sessions of the user.',
  access: 'session',
  body: z.strictObject({ current_password: password, new_password: newPassword }).meta({ id: 'PasswordChange' }),
  status: 204,
  problems: ['credentials_wrong', 'login_rate_limited'],
});

export const enrollTotp = endpoint({
  id: 'enroll_totp',
  method: 'POST',
  path: '/session/totp',
  tag,
  summary: 'Begin to set up signing in with a code',
  description: 'Nothing changes until a first code is confirmed. Beginning again replaces the secret.',
  access: 'session',
  status: 201,
  answer: z
    .object({
      secret: z.string().describe('Base32, for typing in'),
      uri: z.string().describe('otpauth://, for a QR code'),
    })
    .meta({ id: 'TotpEnrollment' }),
  problems: ['totp_enabled'],
});

export const confirmTotp = endpoint({
  id: 'confirm_totp',
  method: 'POST',
  path: '/session/totp/actions/confirm',
  tag,
  summary: 'Finish setting it up with a first code',
  access: 'session',
  body: z.strictObject({ code: totpCode }).meta({ id: 'TotpCode' }),
  status: 204,
  problems: ['totp_wrong', 'totp_enabled', 'totp_not_enrolled', 'login_rate_limited'],
});

export const disableTotp = endpoint({
  id: 'disable_totp',
  method: 'POST',
  path: '/session/totp/actions/disable',
  tag,
  summary: 'Turn it off, with a code',
  access: 'session',
  body: z.strictObject({ code: totpCode }).meta({ id: 'TotpOff' }),
  status: 204,
  problems: ['totp_wrong', 'totp_not_enrolled', 'login_rate_limited'],
});

export const session = z
  .object({
    id: idOf('lgn'),
    created_at: time,
    last_used_at: time,
    expires_at: time,
    ip: z.string().nullable(),
    user_agent: z.string().nullable(),
    current: z.boolean().describe('This very session'),
  })
  .meta({ id: 'Session' });

export const listSessions = endpoint({
  id: 'list_sessions',
  method: 'GET',
  path: '/sessions',
  tag,
  summary: 'List the own sessions that have not ended',
  description: 'Oldest first.',
  access: 'session',
  query: z.strictObject(listQuery),
  status: 200,
  answer: pageOf(session).meta({ id: 'SessionPage' }),
  problems: [],
});

export const endSession = endpoint({
  id: 'end_session',
  method: 'DELETE',
  path: '/sessions/:session_id',
  tag,
  summary: 'End one of the own sessions',
  access: 'session',
  params: z.strictObject({ session_id: idOf('lgn') }),
  status: 204,
  problems: ['session_not_found'],
});
