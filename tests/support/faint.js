// The texts of a page whose contrast with what they lie on is below 4.5 to 1.
() => {
  const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
  const over = (top, ground) => {
    const share = top[3] ?? 1;
    return [0, 1, 2].map((place) => top[place] * share + ground[place] * (1 - share));
  };
  const light = (colour) => {
    const [red, green, blue] = colour.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (node) => {
    const below = node.parentElement ? ground(node.parentElement) : [255, 255, 255];
    return over(parts(getComputedStyle(node).backgroundColor), below);
  };
  const opacity = (node) => (node ? getComputedStyle(node).opacity * opacity(node.parentElement) : 1);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !node.checkVisibility()) continue;
    const below = ground(node);
    const style = getComputedStyle(node);
    const colour = node.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const [high, low] = [light(over([...parts(colour).slice(0, 3), opacity(node)], below)), light(below)].sort((x, y) => y - x);
    if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(texts.currentNode.textContent.trim().slice(0, 40));
  }
  return faint;
}
