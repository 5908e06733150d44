/** .env is read by one parser, and as Compose reads it: native/settings.sh. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { repository } from './support/clone.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'settings-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a command of the scripts. */
const bash = (command: string, env: NodeJS.ProcessEnv = {}, root = repository) =>
  spawnSync('bash', ['-euo', 'pipefail', '-c', `. native/common.sh; ${command}`], {
    cwd: repository,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'], // of a socket bash would read the user's start-up files
    env: { PATH: process.env.PATH, ROOT: root, ...env },
  });
const read = (text: string) => {
  writeFileSync(path.join(folder, '.env'), text);
  return bash(`settings_in '${folder}/.env'`);
};

const ALIKE: readonly [line: string, value: string][] = [
  ['A=plain', 'plain'],
  ['A= leading and trailing  ', 'leading and trailing'],
  ['A=with#hash', 'with#hash'],
  ['A=with #comment', 'with'],
  ['A=with\t#tab', 'with\t#tab'],
  ['A=#x', '#x'],
  ['A= # x', '# x'],
  ["A='single # quoted' # comment", 'single # quoted'],
  ['A="double # quoted" # comment', 'double # quoted'],
  ["A='in $ingle'", 'in $ingle'],
  ["A=''", ''],
  ['A=""#c', ''],
  ['A=', ''],
  ['A=x"y"', 'x"y"'],
  ["A=it's", "it's"],
  ['A=back\\slash', 'back\\slash'],
  ['export A=1', '1'],
  ['  export  A = 1', '1'],
  ['A=08', '08'],
  ['A=a=b=', 'a=b='],
  ['A=1;2', '1;2'],
  ['A=é', 'é'],
  ['A=`id`', '`id`'],
  ['A=crlf\r\nB=2\r', 'crlf'],
  ['\uFEFFA=mark', 'mark'],
  ['A=first\nA=last', 'last'],
  ['# comment\n\n   # another\nA=after', 'after'],
];
const REFUSED = [
  'A=a$b',
  'A="a$b"',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is Compose's
  'A=${X:-d}',
  'A=$(id)',
  'A="a\\nb"',
  'A="unclosed',
  "A='unclosed",
  'A="x"y',
  'A: yaml',
  'A',
  'A-B=1',
  'A="two\nlines"',
];

test.each(ALIKE)('%j is read', (line, value) => {
  for (const text of [line, `${line}\n`]) {
    const { stdout, stderr } = read(text);
    expect(stderr).toBe('');
    expect(
      stdout
        .split('\n')
        .filter((each) => each.startsWith('A='))
        .at(-1),
    ).toBe(`A=${value}`);
  }
});
test.each(REFUSED)('%j, which would be read in another way, is refused with its line', (line) => {
  const { status, stderr } = read(`B=1\n${line}\n`);
  expect(status).not.toBe(0);
  expect(stderr).toMatch(/^error: \.env, line 2/);
});

const compose = spawnSync('docker', ['compose', 'version']).status === 0 ? test : test.skip;
compose(
  'Compose reads each line that is read here alike',
  () => {
    writeFileSync(
      path.join(folder, 'docker-compose.yml'),
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is Compose's
      'services: { x: { image: x, environment: { A: "<${A}>" } } }\n',
    );
    for (const [line, value] of ALIKE) {
      writeFileSync(path.join(folder, '.env'), line);
      const config = execFileSync('docker', ['compose', 'config', '--format', 'json'], {
        cwd: folder,
        encoding: 'utf8',
        env: { PATH: process.env.PATH, HOME: process.env.HOME },
      });
      // `config` writes $ as $$, because it writes a Compose file.
      expect([line, JSON.parse(config).services.x.environment.A.replaceAll('$$', '$')]).toEqual([line, `<${value}>`]);
    }
  },
  120_000,
);

test('a setting is changed however its line is written', () => {
  writeFileSync(path.join(folder, '.env.example'), 'REPLICAS=2\n');
  for (const line of ['REPLICAS=2', ' export REPLICAS = "2" # two', 'REPLICAS=2\nREPLICAS=3']) {
    writeFileSync(path.join(folder, '.env'), `A=REPLICAS=1\n${line}`);
    const { stdout } = spawnSync(
      'bash',
      ['-c', '. native/common.sh; ROOT=$1; set_env REPLICAS 5; settings_in "$1/.env"', 'bash', folder],
      { cwd: repository, encoding: 'utf8', env: { PATH: process.env.PATH, ROOT: repository } },
    );
    expect(stdout).toMatch(/^A=REPLICAS=1\n(REPLICAS=5\n)+$/);
  }
});

test.each([
  ['HTTP_PORT', '010'],
  ['HTTP_PORT', '123456'],
  ['DEBUG_PORT_BASE', '08000'],
  ['DATABASE_POOL_MAX', '-1'],
  ['REPLICAS', '08'],
  ['LOG_LEVEL', 'verbose'],
  ['ADMIN_TOKEN', 'short'],
  ['POSTGRES_PASSWORD', ''],
])('%s=%j in the environment is refused with its name and where it comes from', (name, value) => {
  const example = readFileSync(path.join(repository, '.env.example'), 'utf8');
  writeFileSync(path.join(folder, '.env.example'), example);
  writeFileSync(path.join(folder, '.env'), example.replace(/_(PASSWORD|TOKEN)=$/gm, '_$1=long-enough'));
  const { status, stderr } = bash('ROOT=$FOLDER WAY=native; native_data_exists() { return 1; }; read_env', {
    FOLDER: folder,
    [name]: value,
  });
  expect(status).not.toBe(0);
  expect(stderr).toMatch(new RegExp(`^error: ${name}\\b.* see the environment`, 'm'));
});

test.each(['/a"b', '/a\\b', '/a:b', '/a ;b', '/a #b', '/a\nb', '/a\tb'])(
  'a clone in %j is refused with a sentence',
  (root) => {
    const { status, stderr } = bash('echo went on', {}, root);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^error: this clone's path has /);
  },
);
