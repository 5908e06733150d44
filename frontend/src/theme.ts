import { ref } from 'vue';

type Theme = 'light' | 'dark';
const KEY = 'theme';
const system = matchMedia('(prefers-color-scheme: dark)');

const kept = () => localStorage.getItem(KEY) as Theme | null;
export const theme = ref<Theme>(kept() ?? (system.matches ? 'dark' : 'light'));

/** Bootstrap reads it from here. */
function show(): void {
  document.documentElement.dataset.bsTheme = theme.value;
}

export function setTheme(next: Theme): void {
  theme.value = next;
  localStorage.setItem(KEY, next);
  show();
}

system.addEventListener('change', ({ matches }) => {
  if (kept()) return;
  theme.value = matches ? 'dark' : 'light';
  show();
});
show();
