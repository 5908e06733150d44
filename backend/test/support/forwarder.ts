import { connect, createServer, type Socket } from 'node:net';
import { listenAnywhere } from './servers.ts';

export interface Forwarder {
  /** Of loopback; leads to the port behind. */
  readonly port: number;
  /** Ends all connections; new ones are accepted. */
  drop(): void;
  /** Ends all connections and accepts none until `heal`. */
  cut(): void;
  heal(): void;
  stop(): Promise<void>;
}

/** A way between two processes that a test can cut. */
export async function startForwarder(target: number): Promise<Forwarder> {
  const sockets = new Set<Socket>();
  let whole = true;
  const server = createServer((inside) => {
    if (!whole) {
      inside.destroy();
      return;
    }
    const outside = connect(target, '127.0.0.1');
    for (const socket of [inside, outside]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {}); // 'close' follows
      socket.on('close', () => {
        sockets.delete(socket);
        inside.destroy();
        outside.destroy();
      });
    }
    inside.pipe(outside).pipe(inside);
  });
  const port = await listenAnywhere(server);
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port,
    drop,
    cut() {
      whole = false;
      drop();
    },
    heal() {
      whole = true;
    },
    stop() {
      drop();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
