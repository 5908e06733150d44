/** Replicas behind Nginx with more places than replicas, to be killed, stopped, added and taken away. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  freePort,
  NGINX_TEMPLATE,
  type Nginx,
  type Postgres,
  type RedisServer,
  startNginx,
  startPostgres,
  startRedis,
} from '../support/servers.ts';
import { changeCode, copyOfCode, launchReplica, type Replica, runMigrations, startReplica } from '../support/stack.ts';

const SLOTS = 4;
const SLOW_ANSWERS = path.join(import.meta.dirname, 'slow-answers.ts');
const backend = path.join(import.meta.dirname, '../..');

/** What a control leaves out. */
export type Without = 'keys' | 'backup';

export interface Stack {
  readonly url: string;
  readonly postgres: Postgres;
  readonly nginx: Nginx;
  /** By slot; undefined: nobody listens there. */
  readonly replicas: (Replica | undefined)[];
  start(slot: number): Promise<Replica>;
  /** Returns as soon as the process runs. */
  launch(slot: number, folder: string): Promise<Replica>;
  /** Ends it with this signal, and waits. @returns its exit code */
  end(slot: number, signal: NodeJS.Signals): Promise<number | null>;
  /** Ends it, and starts another in its place. @returns the exit code of the first */
  replace(slot: number, signal: NodeJS.Signals): Promise<number | null>;
  stop(): Promise<void>;
}

/** In which no write is recognized when it comes again. */
function withoutKeys(): string {
  const folder = copyOfCode();
  const names = ["request.headers['x-attempt-key'] ?? randomUUID()", 'Math.random()'] as const;
  changeCode(path.join(folder, 'src/platform/http/write.ts'), [names]);
  return folder;
}

/** The next version of the code, with a migration of its own. */
export function nextVersion(): string {
  const folder = copyOfCode();
  const migration =
    "import { type Kysely, sql } from 'kysely';\nexport const up = (db: Kysely<unknown>) => sql`create table expanded ()`.execute(db);\n";
  writeFileSync(path.join(folder, 'src/platform/database/migrations/9999-expand.ts'), migration);
  return folder;
}

export interface StackOptions {
  readonly without?: Without | undefined;
  /** Of Nginx's configuration, which text becomes which. */
  readonly nginx?: readonly (readonly [from: string, to: string])[];
  /** false: answers to writes come as soon as they can. */
  readonly slowAnswers?: boolean;
  /** Of Nginx. */
  readonly settings?: Readonly<Record<string, string>>;
}

export async function startStack({
  without,
  nginx = [],
  settings: limits = {},
  slowAnswers = true,
}: StackOptions = {}): Promise<Stack> {
  const [postgres, redis]: [Postgres, RedisServer] = await Promise.all([startPostgres(), startRedis()]);
  runMigrations(postgres);
  const ports = await Promise.all(Array.from({ length: SLOTS }, () => freePort()));
  const changes = without === 'backup' ? [[/server [\d.:]+ backup max_fails=0;/g, '']] : nginx;
  const server = await startNginx(ports, limits, (text) =>
    changes.reduce((all, [from, to]) => {
      const changed = all.replaceAll(from as string, to as string);
      if (changed === all) throw new Error(`${NGINX_TEMPLATE} does not have: ${from}`);
      return changed;
    }, text),
  );
  const program = {
    folder: without === 'keys' ? withoutKeys() : backend,
    ...(slowAnswers && { preload: SLOW_ANSWERS }),
  };
  const settings = { LOG_LEVEL: 'warn', FAULTS: 'on' };
  const replicas: (Replica | undefined)[] = ports.map(() => undefined);
  const put = async (slot: number, how: typeof startReplica, folder = program.folder) => {
    const name = `backend-${slot + 1}`;
    const replica = await how(name, postgres, redis, ports[slot], settings, { ...program, folder });
    replicas[slot] = replica;
    return replica;
  };
  async function end(slot: number, signal: NodeJS.Signals): Promise<number | null> {
    const replica = replicas[slot];
    if (!replica) throw new Error(`nobody runs in slot ${slot}`);
    replicas[slot] = undefined;
    replica.signal(signal);
    const code = await replica.exited;
    await replica.stop();
    return code;
  }
  await Promise.all([put(0, startReplica), put(1, startReplica)]);
  return {
    url: `http://127.0.0.1:${server.port}`,
    postgres,
    nginx: server,
    replicas,
    start: (slot) => put(slot, startReplica),
    launch: (slot, folder) => put(slot, launchReplica, folder),
    end,
    async replace(slot, signal) {
      const code = await end(slot, signal);
      await put(slot, startReplica);
      return code;
    },
    async stop() {
      await server.stop();
      await Promise.all(replicas.map((replica) => replica?.stop()));
      await Promise.all([redis.stop(), postgres.stop()]);
    },
  };
}
