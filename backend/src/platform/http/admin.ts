import { createHash, timingSafeEqual } from 'node:crypto';
import { HttpError } from './errors.ts';
import type { Handler } from './handler.ts';

const digest = (text: string) => createHash('sha256').update(text).digest();

/**
 * Lets only administrators through (RFC 6750). Compared are digests, all of them and always to the end: how long a refusal
 * takes tells neither how long the token is nor how much of a guess was right.
 */
export function requireToken(token: string): Handler {
  const expected = digest(token);
  return (request, _response, next) => {
    const [, given] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (given === undefined) {
      const headers = { 'WWW-Authenticate': 'Bearer realm="admin"' };
      throw new HttpError(401, 'send the admin token: Authorization: Bearer <ADMIN_TOKEN>', { headers });
    }
    if (!timingSafeEqual(digest(given), expected)) throw new HttpError(403, 'this is not the admin token');
    next();
  };
}
