// The theme draws diagrams with this script's mermaid. Large ones keep their size, and scroll: when
// they are shrunk to the page's width, nobody can read them.
(() => {
  const initialize = mermaid.initialize
  mermaid.initialize = config => initialize({
    ...config,
    er: {
      ...config.er,
      useMaxWidth: false,
      entityPadding: 10,
      minEntityHeight: 40,
      nodeSpacing: 24,
      rankSpacing: 70,
    },
    flowchart: { ...config.flowchart, useMaxWidth: false },
  })
})()
