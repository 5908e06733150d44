// The least that Node can do for a request: what is above it is ours (or Express's, or Fastify's) to save.
import { createServer } from 'node:http';

const { PORT, INSTANCE_NAME } = process.env;
const body = JSON.stringify({ message: `pong from ${INSTANCE_NAME}`, instance: INSTANCE_NAME });

createServer((_request, response) => {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
}).listen(Number(PORT), '127.0.0.1');
