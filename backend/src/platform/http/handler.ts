import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';
import type { HttpError } from './errors.ts';

/** node:http's own request and response, with what Express or the fast lane (fast-lane.ts) adds: all that our handlers use. */
export interface Incoming extends IncomingMessage {
  method: string;
  url: string;
  originalUrl: string;
  params: unknown;
  query: unknown;
  body: unknown;
  /** As Express has it; express-prom-bundle knows only the request when it asks for the path. */
  res: Outgoing;
}

export interface Outgoing extends ServerResponse {
  locals: Locals;
}

export interface Locals {
  requestId?: string;
  /** The template of the route that was found. */
  route?: string;
  /** What was answered instead of a success. */
  problem?: HttpError;
}

export type Next = (error?: unknown) => void;
/** Also an Express handler. */
export type Handler = (request: Incoming, response: Outgoing, next: Next) => unknown;
export type ErrorHandler = (error: unknown, request: Incoming, response: Outgoing, next: Next) => void;

/** For Express, whose types say more of a request than our handlers ask for. */
export const forExpress = (...handlers: Handler[]) => handlers as unknown as RequestHandler[];

/** Ends the answer with a text. */
export function sendText(response: ServerResponse, type: string, text: string): void {
  response.setHeader('Content-Type', type);
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(text);
}

export function setHeaders(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
  for (const name in headers) response.setHeader(name, headers[name] as string);
}
