import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Its files are below /console/, because every other path is the API's.
  base: '/console/',
  plugins: [vue()],
  build: { target: 'es2023', assetsInlineLimit: 0, reportCompressedSize: true },
  define: {
    __VUE_OPTIONS_API__: false,
    __VUE_I18N_LEGACY_API__: false,
    __VUE_I18N_FULL_INSTALL__: true,
    __INTLIFY_PROD_DEVTOOLS__: false,
  },
  server: {
    proxy: Object.fromEntries(
      ['/ping', '/health', '/items', '/kv', '/tasks', '/users', '/transactions', '/products', '/carts', '/orders'].map(
        (path) => [path, process.env.API ?? 'http://localhost'],
      ),
    ),
  },
  test: { environment: 'happy-dom', include: ['src/**/*.test.ts'] },
});
