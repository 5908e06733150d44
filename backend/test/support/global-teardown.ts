export default async function tearDown(): Promise<void> {
  await Promise.all(globalThis.servers.map((server) => server.stop()));
}
