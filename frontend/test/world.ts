import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { cleanUp } from '../../backend/test/support/servers.ts';
import { type Stack, startStack } from '../../backend/test/support/stack.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Debian's, or Google's, which GitHub's machines have. test.sh sees to it that there is one. */
const BROWSERS = ['/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/bin/chromium-browser'];

/** Another name of the stack: a page from there has no TLS and is not local, so browsers keep some functions from it. */
export const LAN = 'tandem.test';

export interface World {
  readonly stack: Stack;
  readonly browser: Browser;
  open(path: string, options?: Parameters<Browser['newContext']>[0]): Promise<Page>;
  stop(): Promise<void>;
}

/** What a page must never do, in any test. */
export const complaints: string[] = [];

/** The real stack, with Nginx in front, and Chromium. */
export async function startWorld(): Promise<World> {
  const stack = await startStack();
  // root may not have a sandbox of its own.
  const args = [`--host-resolver-rules=MAP ${LAN} 127.0.0.1`, ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
  const executablePath = BROWSERS.find((file) => existsSync(file)) as string;
  const browser = await chromium.launch({ executablePath, args });
  const contexts: BrowserContext[] = [];
  return {
    stack,
    browser,
    async open(path, options = {}) {
      const context = await browser.newContext({ locale: 'en-GB', ...options });
      contexts.push(context);
      await context.addInitScript(() => {
        document.addEventListener('securitypolicyviolation', (event) => {
          console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
        });
      });
      const page = await context.newPage();
      page.on('console', (message) => {
        const expected = /Failed to load resource/.test(message.text()); // an answer that is an error, which tests look at
        if (message.type() === 'error' && !expected) complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(`${error}`));
      page.on('dialog', (dialog) => {
        complaints.push(`a script has opened a dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
      page.on('request', (request) => {
        const { hostname } = new URL(request.url());
        if (hostname !== '127.0.0.1' && hostname !== LAN)
          complaints.push(`a request to a third party: ${request.url()}`);
      });
      await page.goto(`${stack.url}/#${path}`);
      await page.locator('h1').waitFor();
      return page;
    },
    async stop() {
      await Promise.all(contexts.map((context) => context.close()));
      await browser.close();
      await stack.stop();
      await cleanUp();
    },
  };
}

interface Finding {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string }[];
}

/** Serious and critical findings of axe on the page as it is now. */
export async function accessibility(page: Page): Promise<string[]> {
  // By the debugger's way in, which the page's Content-Security-Policy does not concern.
  await page.evaluate(AXE);
  const { violations } = (await page.evaluate('axe.run()')) as { violations: Finding[] };
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' | ')}`);
}
