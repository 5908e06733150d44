import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { HttpError } from './errors.ts';

/** Nginx's id of the request, if the bytes that could not be parsed got that far. */
const REQUEST_ID = /^x-request-id: ([\w-]{1,64})\r$/im;

/**
 * Answers what Node's parser refuses before Express sees it (bytes in the URL that are not ASCII, an unknown method, too
 * large a header). By itself Node sends a bare status line without a body.
 */
export function answerClientError(error: Error & { code?: string; rawPacket?: Buffer }, socket: Socket): void {
  // The client went away, or an answer is under way already. (bytesWritten would not tell: it counts earlier answers of a
  // kept connection, and Nginx, which keeps them, takes one that is closed without an answer for a replica that died.)
  const { _httpMessage: underWay } = socket as Socket & { _httpMessage?: unknown };
  if (error.code === 'ECONNRESET' || !socket.writable || underWay) return void socket.destroy();
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const problem = new HttpError(
    tooLarge ? 431 : 400,
    tooLarge ? 'the header is too large' : 'the request line or a header is malformed',
  );
  const requestId = REQUEST_ID.exec(error.rawPacket?.toString('latin1') ?? '')?.[1] ?? '';
  const body = JSON.stringify(problem.toProblem(requestId));
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nContent-Type: application/problem+json\r\nX-Request-ID: ${requestId}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
