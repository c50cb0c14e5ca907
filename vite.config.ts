import { defineConfig } from 'vitest/config';

/** The server of `npm start`; `npm run dev` hands it the calls it does not answer itself. */
const SERVER_URL = 'http://127.0.0.1:4000';

export default defineConfig({
  // Relative, so that the built page works under any path.
  base: './',
  // Nothing is copied without being imported.
  publicDir: false,
  build: {
    outDir: 'web/dist',
    emptyOutDir: true,
    target: 'es2022',
    // The page runs under a policy without data: URLs and inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { index: 'index.html', second: 'second.html' },
    },
  },
  worker: { format: 'es' },
  server: {
    host: '127.0.0.1',
    proxy: { '/api': SERVER_URL, '/health': SERVER_URL },
  },
  test: {
    include: ['web/src/**/*.test.{ts,tsx}'],
    restoreMocks: true,
  },
});
