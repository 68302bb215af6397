// Shows the document that the page names. A token that is typed in stays in the page.
const element = document.getElementById("reference");
SwaggerUIBundle({
  url: element.dataset.document,
  domNode: element,
  deepLinking: true,
  displayOperationId: true,
  validatorUrl: null,
});
