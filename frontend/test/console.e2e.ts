import { spawn } from 'node:child_process';
import type { Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asSuperuser, postgresProgram, psql } from '../../backend/test/support/servers.ts';
import { type Replica, sendJson, startReplica } from '../../backend/test/support/stack.ts';
import { accessibility, complaints, LAN, startWorld, type World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
  sql('delete from tasks'); // what a new database has; nobody has read it yet
});
afterAll(() => world?.stop());

const PAGES = ['/', '/items', '/kv', '/tasks', '/users', '/transactions', '/shop'];
/** Each would run if it were ever taken for HTML. */
const XSS = '<img src=x onerror=alert(1)>"><script>alert(2)</script>{{constructor.constructor("alert(3)")()}}';

const button = (within: Page | Locator, name: string | RegExp) => within.getByRole('button', { name });
const dialog = (page: Page) => page.getByRole('dialog');
const sql = (statement: string) => psql(world.stack.postgres, 'postgres', statement).trim();

async function fill(page: Page, values: Record<string, string>): Promise<void> {
  for (const [label, value] of Object.entries(values)) {
    const field = dialog(page).getByLabel(label);
    if ((await field.evaluate((element) => element.tagName)) === 'SELECT') await field.selectOption(value);
    else await field.fill(value);
  }
}
async function create(page: Page, one: string, values: Record<string, string>): Promise<void> {
  await button(page, `New ${one}`).click();
  await fill(page, values);
  await button(dialog(page), 'Save').click();
  await dialog(page).waitFor({ state: 'detached' });
}

describe('the first page', () => {
  test('a browser gets the console, everyone else the JSON', async () => {
    const asBrowser = await fetch(world.stack.url, { headers: { Accept: 'text/html,*/*;q=0.8' } });
    expect(asBrowser.headers.get('content-type')).toMatch('text/html');
    expect(asBrowser.headers.get('vary')).toMatch(/Accept\b/);
    const asProgram = await fetch(world.stack.url, { headers: { Accept: '*/*' } });
    expect(asProgram.headers.get('content-type')).toMatch('application/json');
    expect(asProgram.headers.get('vary')).toMatch(/Accept\b/);
  });

  test('its policy allows nothing but its own files, and the first load stays below 200 kB', async () => {
    const { headers } = await fetch(world.stack.url, { headers: { Accept: 'text/html' } });
    expect(headers.get('content-security-policy')).toMatch("default-src 'none'");
    expect(headers.get('content-security-policy')).not.toMatch('unsafe');
    const context = await world.browser.newContext();
    const page = await context.newPage();
    const session = await context.newCDPSession(page);
    let bytes = 0;
    session.on('Network.loadingFinished', ({ encodedDataLength }) => {
      bytes += encodedDataLength;
    });
    await session.send('Network.enable');
    await page.goto(world.stack.url, { waitUntil: 'load' });
    await page.locator('h1').waitFor();
    await context.close();
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThan(200_000);
  });
});

describe('live', () => {
  test('the replicas alternate strictly, and reads come from the cache', async () => {
    const page = await world.open('/');
    await expect.poll(() => page.locator('.answers li').count(), { timeout: 20_000 }).toBeGreaterThan(24);
    const names = await page
      .locator('.answers li')
      .evaluateAll((all) => all.map((li) => (li as HTMLElement).dataset.replica));
    expect(new Set(names)).toEqual(new Set(['backend-1', 'backend-2']));
    names.slice(1).forEach((name, n) => {
      expect(name, `answer ${n + 2}`).not.toBe(names[n]);
    });
    await expect.poll(() => page.getByText(/^\d+ \(\d+%\)$/).textContent()).toMatch(/^[1-9]/);
    for (const part of ['api', 'database', 'cache']) {
      await expect.poll(() => page.locator(`[data-test=${part}]`).textContent()).toBe('healthy');
    }
    await page.close();
  });

  test('when a replica is killed, the picture shows the other one taking over, and nothing fails', async () => {
    const page = await world.open('/');
    await expect.poll(() => page.locator('.answers li').count(), { timeout: 20_000 }).toBeGreaterThan(6);
    const [first] = world.stack.replicas;
    first?.signal('SIGKILL');
    await page.locator('[data-test=silent]').waitFor();
    expect(await page.locator('[data-test=silent]').textContent()).toMatch('backend-1');
    expect(await page.locator('[data-test=failed]').textContent()).toBe('0');
    await revive(0);
    await page.locator('[data-test=silent]').waitFor({ state: 'detached' });
    expect(await page.locator('[data-test=failed]').textContent()).toBe('0');
    await page.close();
  });

  test('it stops when it is told to, and while nobody sees it', async () => {
    const page = await world.open('/');
    const requests: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    const quiet = async () => {
      await page.waitForTimeout(300); // one may be on its way
      requests.length = 0;
      await page.waitForTimeout(1000);
      return requests.length;
    };
    await button(page, 'Stop').click();
    expect(await quiet()).toBe(0);
    await button(page, 'Start').click();
    expect(await quiet()).toBeGreaterThan(0);
    const hide = (hidden: boolean) =>
      page.evaluate((value) => {
        Object.defineProperty(document, 'hidden', { value, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      }, hidden);
    await hide(true);
    expect(await quiet()).toBe(0);
    await hide(false);
    expect(await quiet()).toBeGreaterThan(0);
    await page.close();
  });
});

/** Starts a replica that was killed again, where Nginx looks for it. */
async function revive(index: number): Promise<void> {
  const { postgres, redis, replicas } = world.stack;
  const gone = replicas[index] as Replica;
  await gone.exited;
  Object.assign(replicas, { [index]: await startReplica(gone.name, postgres, redis, gone.port) });
}

/** By the API, because the cache knows nothing of what is done past it. */
async function deleteTasks(): Promise<void> {
  const ids = sql('select id from tasks').split('\n').filter(Boolean);
  for (const id of ids) await fetch(`${world.stack.url}/tasks/${id}`, { method: 'DELETE' });
}

interface Domain {
  readonly path: string;
  readonly one: string;
  readonly values: Record<string, string>;
  readonly changes: Record<string, string>;
  readonly wrong: Record<string, string>;
  /** Label of the field that `wrong` breaks. */
  readonly field: string;
}
const DOMAINS: Domain[] = [
  {
    path: '/items',
    one: 'item',
    values: { Title: `item ${XSS}`, Description: XSS },
    changes: { Title: 'another item' },
    wrong: { Title: '' },
    field: 'Title',
  },
  {
    path: '/kv',
    one: 'pair',
    values: { Key: `key ${XSS}`, Value: XSS },
    changes: { Value: 'another value' },
    wrong: { Key: '' },
    field: 'Key',
  },
  {
    path: '/tasks',
    one: 'task',
    values: { Title: `task ${XSS}`, Description: XSS },
    changes: { Title: 'another task', Status: 'completed' },
    wrong: { Title: ' ' },
    field: 'Title',
  },
  {
    path: '/users',
    one: 'user',
    values: { Name: `user ${XSS}`, 'E-mail': 'ana@example.com', Limit: '1000' },
    changes: { Name: 'another user' },
    wrong: { Name: 'Ana', 'E-mail': 'nobody' },
    field: 'E-mail',
  },
];

describe.each(DOMAINS)('$path', ({ path, one, values, changes, wrong, field }) => {
  test('it is empty; a wrong row is refused beside its field; a right one is made, shown as text, changed and deleted', async () => {
    const page = await world.open(path);
    await page.getByText('There is nothing yet.').waitFor();
    await button(page, `New ${one}`).click();
    await fill(page, wrong);
    await button(dialog(page), 'Save').click();
    const input = dialog(page).getByLabel(field);
    await expect.poll(() => input.getAttribute('aria-invalid')).toBe('true');
    const message = await input.getAttribute('aria-describedby');
    expect(await page.locator(`[id="${message}"]`).textContent()).not.toBe('');
    await button(dialog(page), 'Cancel').click();

    await create(page, one, values);
    const shown = Object.values(values)[0] as string;
    const row = page.getByRole('row').filter({ hasText: shown });
    await row.waitFor();
    expect(await page.locator('main img, main script').count()).toBe(0);
    await expect.poll(() => page.locator('[data-test=answer-line]').textContent()).toMatch(/backend-[12]/);

    await button(row, 'Edit').click();
    await fill(page, changes);
    await button(dialog(page), 'Save').click();
    await dialog(page).waitFor({ state: 'detached' });
    const changed = page.getByRole('row').filter({ hasText: Object.values(changes)[0] as string });
    await changed.waitFor();

    await button(changed, 'Delete').click();
    await button(dialog(page), 'Cancel').click();
    expect(await changed.count()).toBe(1);
    await button(changed, 'Delete').click();
    await button(dialog(page), 'Delete').click();
    await page.getByText('There is nothing yet.').waitFor();
    await page.close();
  });

  test('somebody else has changed it: both are shown, and mine is stored when I say so', async () => {
    const page = await world.open(path);
    await create(page, one, values);
    await button(page, 'Edit').first().click();
    const other = await world.open(path);
    await button(other, 'Edit').first().click();
    await fill(other, changes);
    await button(dialog(other), 'Save').click();
    await dialog(other).waitFor({ state: 'detached' });

    const [label, theirs] = Object.entries(changes)[0] as [string, string];
    await fill(page, { [label]: 'this is mine' });
    await button(dialog(page), 'Save').click();
    const conflict = page.locator('[data-test=conflict]');
    await conflict.waitFor();
    expect(await conflict.textContent()).toMatch('this is mine');
    expect(await conflict.textContent()).toMatch(theirs);
    // Enter once more stores nothing over what was only now shown.
    await dialog(page).getByLabel(label).press('Enter');
    await page.waitForTimeout(300);
    expect(await conflict.count()).toBe(1);
    await button(conflict, 'Store mine').click();
    await page.getByRole('row').filter({ hasText: 'this is mine' }).waitFor();
    await button(page, 'Delete').first().click();
    await button(dialog(page), 'Delete').click();
    await page.getByText('There is nothing yet.').waitFor();
    await Promise.all([page.close(), other.close()]);
  });
});

test('lists are turned page by page, narrowed, and say when nothing fits', async () => {
  for (let n = 1; n <= 45; n++) {
    const task = { title: `row ${n}`, status: n % 2 === 0 ? 'completed' : 'pending' };
    await sendJson('POST', `${world.stack.url}/tasks`, task);
  }
  const page = await world.open('/tasks');
  const rows = page.locator('tbody tr');
  await expect.poll(() => rows.count()).toBe(20);
  await button(page, 'Next').click();
  await page.getByText('Page 2').waitFor();
  await button(page, 'Next').click();
  await expect.poll(() => rows.count()).toBe(5);
  await button(page, 'Previous').click();
  await expect.poll(() => rows.count()).toBe(20);
  await page.getByLabel('Status').selectOption('completed');
  await button(page, 'Filter').click();
  await expect.poll(() => rows.first().textContent()).toMatch('row 44');
  await page.getByLabel('Status').selectOption('in_progress');
  await button(page, 'Filter').click();
  await page.getByText('Nothing fits the filter.').waitFor();
  await deleteTasks();
  await page.close();
});

test('transactions move money, and a debit past the limit is refused', async () => {
  const user = sql("insert into users (nome, email, limite) values ('Ana', 'a@example.com', 500) returning id");
  const page = await world.open('/transactions');
  await create(page, 'transaction', { User: user, Kind: 'c', Amount: '12.50', Description: XSS });
  await page.getByRole('row').filter({ hasText: '12.5' }).waitFor();
  await button(page, 'New transaction').click();
  await fill(page, { User: user, Kind: 'd', Amount: '99', Description: 'too much' });
  await button(dialog(page), 'Save').click();
  await dialog(page).getByRole('alert').waitFor();
  expect(sql(`select saldo from users where id = ${user}`)).toBe('1250');
  await page.close();
});

test('the shop: a product, a cart, a wrong and a right order', async () => {
  const page = await world.open('/shop');
  expect(await page.getByRole('button', { name: 'New product' }).count()).toBe(0);
  await page.getByText('Sell', { exact: true }).click();
  await page.getByLabel(/ADMIN_TOKEN/).fill('the-administrator');
  await create(page, 'product', { Name: `lamp ${XSS}`, Price: '19.90' });
  const product = page.getByRole('row').filter({ hasText: `lamp ${XSS}` });
  await product.waitFor();
  await button(product, 'Into the cart').click();
  await button(page, /^One .* more$/).click();
  const cart = page.getByRole('region', { name: 'Cart' });
  await expect.poll(() => cart.locator('tfoot').textContent()).toMatch('39.80');
  expect(await accessibility(page)).toEqual([]);
  await button(page, 'Order').click();
  await expect.poll(() => cart.locator('[aria-invalid]').count()).toBe(6);
  const customer = {
    Name: XSS,
    'E-mail': 'ana@example.com',
    Address: XSS,
    City: 'Lisbon',
    'Postal code': '1000-001',
    Country: 'PT',
  };
  for (const [label, value] of Object.entries(customer)) await cart.getByLabel(label).fill(value);
  await button(page, 'Order').click();
  await page.locator('[data-test=order]').waitFor();
  expect(sql('select count(*) from orders where not is_open')).toBe('1');

  // A second order of the same customer; and one that another tab has closed is no cart any longer.
  await button(page.getByRole('row').filter({ hasText: `lamp ${XSS}` }), 'Into the cart').click();
  await button(page, 'Order').click();
  await page.locator('[data-test=order]').waitFor();
  await expect.poll(() => sql('select count(*) from orders where not is_open')).toBe('2');
  await button(page.getByRole('row').filter({ hasText: `lamp ${XSS}` }), 'Into the cart').click();
  await cart.locator('tfoot').waitFor();
  const other = await page.context().newPage();
  await other.goto(`${world.stack.url}/#/shop`);
  for (const [label, value] of Object.entries(customer))
    await other.getByRole('region', { name: 'Cart' }).getByLabel(label).fill(value);
  await button(other, 'Order').click();
  await other.locator('[data-test=order]').waitFor();
  await page.getByText('The cart is empty.').waitFor();
  expect(sql('select count(*) from orders where not is_open')).toBe('3');
  await page.close();
});

test('a replica that is killed while it stores a form: the user notices nothing, and one row is stored', async () => {
  const page = await world.open('/tasks');
  await button(page, 'New task').click();
  await fill(page, { Title: 'sent to one who dies' });
  // Holds the insert, so that the replica dies in the middle of it.
  sql(
    "create function wait() returns trigger language plpgsql as 'begin perform pg_advisory_lock_shared(7); perform pg_advisory_unlock_shared(7); return new; end'; create trigger wait before insert on tasks for each row execute function wait()",
  );
  const { holdLock, release } = lock();
  await holdLock;
  await button(dialog(page), 'Save').click();
  await expect
    .poll(() => sql("select count(*) from pg_stat_activity where wait_event = 'advisory' and query ilike '%insert %'"))
    .toBe('1');
  const name = sql(
    "select application_name from pg_stat_activity where wait_event = 'advisory' and query ilike '%insert %'",
  );
  const index = world.stack.replicas.findIndex((replica) => name.includes(replica.name));
  expect(index).not.toBe(-1);
  world.stack.replicas[index]?.signal('SIGKILL');
  release();
  await dialog(page).waitFor({ state: 'detached' });
  await page.getByRole('row').filter({ hasText: 'sent to one who dies' }).waitFor();
  expect(await page.getByRole('alert').count()).toBe(0);
  expect(sql("select count(*) from tasks where title = 'sent to one who dies'")).toBe('1');
  sql('drop trigger wait on tasks; drop function wait');
  await deleteTasks();
  await revive(index);
  await page.close();
});

/** Holds advisory lock 7 until it is released. */
function lock() {
  const session = spawn(postgresProgram('psql'), [...asSuperuser(world.stack.postgres), '-XAtq']);
  session.stdin.write('select pg_advisory_lock(7);\n\\echo held\n');
  const holdLock = new Promise<void>((resolve) => {
    session.stdout.on('data', (text) => `${text}`.includes('held') && resolve());
  });
  return { holdLock, release: () => session.stdin.end() };
}

test('while PostgreSQL is stopped the page says so, and goes on when it is back', async () => {
  const page = await world.open('/items');
  await page.getByText('There is nothing yet.').waitFor();
  await world.stack.postgres.stop();
  try {
    await button(page, 'Reload').click();
    await page.getByRole('alert').filter({ hasText: '503' }).waitFor();
  } finally {
    Object.assign(world.stack, { postgres: await world.stack.postgres.restart() });
  }
  await expect
    .poll(
      async () => {
        await button(page, 'Try again')
          .click({ timeout: 1000 })
          .catch(() => {});
        return page.getByRole('alert').count();
      },
      { timeout: 20_000 },
    )
    .toBe(0);
  await page.close();
});

describe.each(PAGES)('%s', (path) => {
  test.each(['light', 'dark'] as const)(
    'axe finds nothing serious (%s), on a phone nothing is cut off',
    async (colorScheme) => {
      const page = await world.open(path, { colorScheme, viewport: { width: 360, height: 740 } });
      await page.waitForTimeout(1500); // lists and answers have come
      expect(await accessibility(page)).toEqual([]);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(overflow).toBeLessThanOrEqual(0);
      const opener = page.getByRole('button', { name: /^New / });
      if (await opener.count()) {
        await opener.click();
        expect(await accessibility(page)).toEqual([]);
      }
      await page.close();
    },
  );
});

test('an amount that can be read in two ways is not guessed at', async () => {
  const page = await world.open('/users');
  await button(page, 'New user').click();
  await fill(page, { Name: 'Ana', 'E-mail': 'two-ways@example.com', Limit: '1,000' });
  await button(dialog(page), 'Save').click();
  await expect.poll(() => dialog(page).getByLabel('Limit').getAttribute('aria-invalid')).toBe('true');
  expect(sql("select count(*) from users where email = 'two-ways@example.com'")).toBe('0');
  await page.close();
});

test('it works without TLS from another machine, and with localStorage blocked', async () => {
  const context = await world.browser.newContext({ locale: 'en-GB' });
  await context.addInitScript(() => {
    Object.defineProperty(window, 'localStorage', {
      get() {
        throw new DOMException('blocked', 'SecurityError');
      },
    });
  });
  const page = await context.newPage();
  await page.goto(`http://${LAN}:${world.stack.nginx.port}/#/items`);
  await create(page, 'item', { Title: 'from elsewhere' });
  await page.getByRole('row').filter({ hasText: 'from elsewhere' }).waitFor();
  await context.close();
});

test('all replicas are away: the live page says that, and not that others have taken over', async () => {
  const page = await world.open('/');
  await expect.poll(() => page.locator('.answers li').count(), { timeout: 20_000 }).toBeGreaterThan(4);
  for (const replica of world.stack.replicas) replica.signal('SIGSTOP');
  try {
    await page.locator('[data-test=down]').waitFor();
    expect(await page.locator('[data-test=silent]').count()).toBe(0);
  } finally {
    for (const replica of world.stack.replicas) replica.signal('SIGCONT');
  }
  await page.locator('[data-test=down]').waitFor({ state: 'detached' });
  await page.close();
});

test('it speaks Portuguese to those whose browser does, and remembers another choice', async () => {
  const page = await world.open('/tasks', { locale: 'pt-BR' });
  expect(await page.locator('h1').textContent()).toBe('Tarefas');
  expect(await page.locator('html').getAttribute('lang')).toBe('pt');
  await page.getByLabel('Idioma').selectOption('en');
  await page.reload();
  expect(await page.locator('h1').textContent()).toBe('Tasks');
  await page.close();
});

test('the keyboard alone makes a row', async () => {
  const page = await world.open('/items');
  await button(page, 'New item').focus();
  await page.keyboard.press('Enter');
  await dialog(page).waitFor();
  await dialog(page).getByLabel('Title').focus();
  await page.keyboard.type('by keyboard');
  await page.keyboard.press('Enter');
  await page.getByRole('row').filter({ hasText: 'by keyboard' }).waitFor();
  await button(page, 'New item').focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Escape');
  await dialog(page).waitFor({ state: 'detached' });
  await page.close();
});

test('no page broke its policy, logged an error, ran what was typed, or asked a third party', () => {
  expect(complaints).toEqual([]);
});
